#include "common/process/process.h"
#include "compactor/compactor.h"

int main(int argc, char **argv)
{
    static const struct process_role *const roles[] = {&compactor_role};

    return process_main("orrery-compactor", roles, ORR_COUNT(roles), argc, argv);
}
