/* orreryctl: what an operator does with a bucket by hand. */
#include "deploy/orreryctl/ctl.h"

int main(int argc, char **argv)
{
    return ctl_main(argc, argv);
}
