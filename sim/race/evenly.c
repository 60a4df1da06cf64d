/* Loaded into sipp (LD_PRELOAD), so that it places its calls one by one. Its clock is CLOCK_MONOTONIC_COARSE, which ticks
   every 4 ms with a kernel of 250 Hz: it gets the fine one. And it looks every 3 ms which calls are due, and places them
   all at once, three where there are 1 000 a second: here an INVITE leaves by a thread of its own, EVENLY_US µs after the
   one before it at the earliest. What it measures itself is of no use then: what counts are the kernel's stamps. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { ROOM = 256, LONGEST = 4096 }; /* INVITEs that wait, a quarter of a second's; and octets of one */

struct waiting {
    int fd;
    size_t size;
    struct sockaddr_storage to;
    socklen_t length;
    char data[LONGEST];
};

static ssize_t (*send_now)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static struct waiting room[ROOM];
static unsigned first, last; /* of those that wait; both only grow */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static long apart; /* ns; 0: nothing waits */

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*libc)(clockid_t, struct timespec *);
    if (!libc)
        libc = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return libc(clock == CLOCK_MONOTONIC_COARSE ? CLOCK_MONOTONIC : clock, at);
}

static void *pace(void *nothing)
{
    struct timespec due = {0, 0}, now;
    prctl(PR_SET_TIMERSLACK, 1UL); /* ns; 50 µs otherwise */
    for (;;) {
        pthread_mutex_lock(&lock);
        while (first == last)
            pthread_cond_wait(&more, &lock);
        struct waiting *one = &room[first % ROOM];
        pthread_mutex_unlock(&lock);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        send_now(one->fd, one->data, one->size, 0, (struct sockaddr *)&one->to, one->length);
        clock_gettime(CLOCK_MONOTONIC, &now);
        due.tv_sec = now.tv_sec + (now.tv_nsec + apart) / 1000000000;
        due.tv_nsec = (now.tv_nsec + apart) % 1000000000;
        pthread_mutex_lock(&lock);
        first++;
        pthread_mutex_unlock(&lock);
    }
    return nothing;
}

static void begin(void)
{
    pthread_t thread;
    const char *asked = getenv("EVENLY_US");
    send_now = (ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "sendto");
    apart = asked ? atol(asked) * 1000 : 0;
    if (apart && pthread_create(&thread, NULL, pace, NULL))
        apart = 0;
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin);
    if (!apart || size > LONGEST || size < 7 || memcmp(data, "INVITE ", 7) || length > sizeof(struct sockaddr_storage))
        return send_now(fd, data, size, flags, to, length);
    pthread_mutex_lock(&lock);
    if (last - first == ROOM) { /* it cannot keep up: at once, as without all this */
        pthread_mutex_unlock(&lock);
        return send_now(fd, data, size, flags, to, length);
    }
    struct waiting *one = &room[last % ROOM];
    one->fd = fd;
    one->size = size;
    one->length = length;
    memcpy(&one->to, to, length);
    memcpy(one->data, data, size);
    last++;
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
    return (ssize_t)size;
}
