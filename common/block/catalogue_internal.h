/*
 * For catalogue_store.c.
 */
#pragma once
#include "common/block/catalogue.h"

void catalogue_bump(struct catalogue *c); /* the next version */
