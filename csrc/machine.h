/* What handing a result from one core to another costs here, measured once per process. */
#ifndef C2_MACHINE_H
#define C2_MACHINE_H

#include "schedule.h"

/* The measured figures; measures on the first call (about 0.2 ms). Any thread. */
c2_machine c2_machine_measured(void);

#endif
