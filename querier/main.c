#include "common/process/process.h"
#include "querier/querier.h"

int main(int argc, char **argv)
{
    static const struct process_role *const roles[] = {&querier_role};

    return process_main("orrery-querier", roles, ORR_COUNT(roles), argc, argv);
}
