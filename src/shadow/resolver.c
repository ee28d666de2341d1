#include "shadow/internal.h"
#include "shadow/setup.h"
struct error *resolver_show(struct setup_state *state)
{
	return NULL;
}
