#include "common/process/process.h"
#include "ruler/ruler.h"

int main(int argc, char **argv)
{
    static const struct process_role *const roles[] = {&ruler_role};

    return process_main("orrery-ruler", roles, ORR_COUNT(roles), argc, argv);
}
