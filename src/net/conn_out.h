/*
 * The sending half of a connection, and what both halves share; for conn.c and conn_out.c only.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_CONN_OUT_H
#define INLAY_NET_CONN_OUT_H

#include "net/conn.h"

/* conn.c. doom: have the loop close it in the next round. want: tell the host what to wait for. */
void inlay_conn_doom(struct inlay_conn *c, int status);
void inlay_conn_want(struct inlay_conn *c);

/* conn_out.c */
void inlay_conn_out_hook(struct inlay_hook *h);
void inlay_conn_out_drop(struct inlay_conn *c);
size_t inlay_conn_out_memory(const struct inlay_conn *c);

#endif
