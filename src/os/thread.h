/*
 * What POSIX threads leave to the host: signals, names, waiting by the monotonic clock.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_THREAD_H
#define INLAY_OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* As pthread_create, with all signals blocked in the new thread. 0 or a status. */
int inlay_thread_new(pthread_t *ret, void *(*main)(void *), void *arg);
/* A condition that counts monotonic time. 0 or a status. */
int inlay_cond_init(pthread_cond_t *cond);
/* Waits up to ns from now; lock is held. False: time is over. */
bool inlay_cond_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns);

#endif
