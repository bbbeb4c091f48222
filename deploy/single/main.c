/* orrery: all five roles in one process. */
#include "alertmanager/alertmanager.h"
#include "common/process/process.h"
#include "compactor/compactor.h"
#include "ingester/ingester.h"
#include "querier/querier.h"
#include "ruler/ruler.h"

int main(int argc, char **argv)
{
    static const struct process_role *const roles[] = {
        &ingester_role, &querier_role, &compactor_role, &ruler_role, &alertmanager_role};

    return process_main("orrery", roles, ORR_COUNT(roles), argc, argv);
}
