/* Loaded into sipp (LD_PRELOAD): its clock is CLOCK_MONOTONIC_COARSE, which ticks every 4 ms with a kernel of 250 Hz, so
   that it places all calls that are due by then one upon the other. With the fine clock they go out one by one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*libc)(clockid_t, struct timespec *);
    if (!libc)
        libc = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return libc(clock == CLOCK_MONOTONIC_COARSE ? CLOCK_MONOTONIC : clock, at);
}
