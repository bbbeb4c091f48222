#include "alertmanager/alertmanager.h"
#include "common/process/process.h"

int main(int argc, char **argv)
{
    static const struct process_role *const roles[] = {&alertmanager_role};

    return process_main("orrery-alertmanager", roles, ORR_COUNT(roles), argc, argv);
}
