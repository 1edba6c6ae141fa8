/*
 * The service's log: Windows' event log (source "Inlay"), or a text file where one is named.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_EVENTLOG_H
#define INLAY_CMD_WINDOWS_EVENTLOG_H

#include "base/log.h"

/* Names this program as the one that holds the messages' texts; and takes that back. 0 or a status. */
int inlay_eventlog_register(void);
void inlay_eventlog_unregister(void);

/* From here on: to a file (appended to), NULL: to the event log. Before threads start. 0 or a status. */
int inlay_eventlog_open(const char *file);
/* One line of what the service itself has to say. Any thread. */
void inlay_event(enum inlay_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line that an attachment's process wrote ("inlay: warning: text"): its level is kept. */
void inlay_event_forward(const char *dir, const char *line);

#endif
