#include "common/process/process.h"
#include "ingester/ingester.h"

int main(int argc, char **argv)
{
    static const struct process_role *const roles[] = {&ingester_role};

    return process_main("orrery-ingester", roles, ORR_COUNT(roles), argc, argv);
}
