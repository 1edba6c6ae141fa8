/*
 * Every limit of the product, derived from each other and asserted. docs/PROTOCOL.md repeats the ones a peer must know.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_LIMITS_H
#define INLAY_BASE_LIMITS_H

#define INLAY_NAME_MAX 255u                /* bytes of one name */
#define INLAY_TARGET_MAX 4096u             /* bytes of a symbolic link's target */
#define INLAY_XATTR_NAME_MAX 255u          /* bytes */
#define INLAY_XATTR_VALUE_MAX 65536u       /* bytes */
#define INLAY_GROUPS_MAX 1024u             /* supplementary groups of one caller */
#define INLAY_RULES_MAX 16384u             /* bytes of all suggested rules */
#define INLAY_TEXT_MAX 1024u               /* bytes of a free text: server's name, client's name */

#define INLAY_DATA_MAX (1024u * 1024u)     /* payload bytes of one frame */
#define INLAY_BODY_MAX (32u * 1024u)       /* body bytes of one frame: the largest is HELLO's reply with its rules */
#define INLAY_FRAME_HEADER 32u             /* bytes */
#define INLAY_FRAME_MAX (INLAY_FRAME_HEADER + INLAY_BODY_MAX + INLAY_DATA_MAX)
#define INLAY_WRITE_HEAD_MAX 80u           /* header and body of a WRITE: fits in place of FUSE's own two headers */

#define INLAY_LANES_MAX 64u                /* connections of one session */
#define INLAY_SLOTS_MAX 256u               /* outstanding requests of one lane */
#define INLAY_SLOTS_DEFAULT 128u
#define INLAY_REPLY_CACHE_MAX 1024u        /* bytes of a reply that a slot keeps for replay; every mutating reply fits */

#define INLAY_UNSYNCED_MAX (64u << 20)         /* bytes of changes that an attachment keeps until they are on the server's disk */
#define INLAY_UNSYNCED_FILE_MAX (32u << 20)    /* of them, of one file: a stream must not push out all others */
#define INLAY_UNSYNCED_SYNC (16u << 20)        /* at which the server is asked to sync */
#define INLAY_UNSYNCED_FILES 16384u            /* files of which any are kept, or are known to be missing */
#define INLAY_UNSYNCED_MS 5000u                /* how often it is asked at least, while there are any */

#define INLAY_SESSIONS_MAX 65536u          /* of one server */
#define INLAY_PEER_SESSIONS_MAX (INLAY_SESSIONS_MAX / 4u) /* of one address, or user of a Unix socket */
#define INLAY_HANDLES_MAX (1u << 20)       /* open files of one session */
#define INLAY_DESCRIPTORS_IDLE 4u          /* one in so many of a server's descriptors at most stays open for files that nobody uses just now */
#define INLAY_DESCRIPTORS_KEPT 16u         /* and one in so many is kept for the server itself; connections and what they open share the rest: */
#define INLAY_FILES_SHARE 4u               /* a place that holds more than so many times what is left for all opens no more, */
#define INLAY_FILES_SMALL 28u              /* plus this divided by what the very session holds: who has little may have some more */
#define INLAY_CONNS_SHARE 32u              /* the same for its connections, and for what it had open before a restart */
#define INLAY_CALLS_MAX 60u                /* calls that may block at a time, of all clients of a server */
#define INLAY_CALLS_SHARE 4u               /* a place that has more than so many times what is left for all has to wait with the next, */
#define INLAY_CALLS_SMALL 8u               /* plus this divided by what the very session has */
#define INLAY_PINS_MAX (1u << 16)          /* nodes that the server keeps open for one session, where its store needs that */
#define INLAY_LOCKS_MAX (1u << 18)         /* lock records of one session, waiters among them */
#define INLAY_FILE_LOCKS_MAX 16384u        /* locks of one file */
#define INLAY_FILE_WAITERS_MAX 4096u       /* who waits for a lock of one file */
#define INLAY_RECORDS_MAX 4096u            /* clients whose replies are recorded over a restart, 80 KiB a lane */
#define INLAY_RECORD_LANES_MAX 16384u      /* of them, that lie on the server's disk: 1.3 GiB in all */
#define INLAY_RECORD_SHARE 4u              /* a place that has more than so many times the lanes that are left gets no more: what it changes is not recorded */
#define INLAY_OLD_NAMES_MAX 65536u         /* names changed since a restart that are remembered for redone requests, 200 bytes each */
#define INLAY_CONNS_MAX 65536u             /* connections of one server */
#define INLAY_PEER_CONNS_MAX (INLAY_CONNS_MAX / 4u) /* of one address, or user of a Unix socket */
#define INLAY_HELLO_MAX 4096u              /* bytes of the first frame of a connection */
#define INLAY_HELLO_TIMEOUT_MS 10000u      /* a new connection must say HELLO within */
#define INLAY_LEASE_MS 45000u              /* a session not heard from for so long is over */
#define INLAY_KEEPALIVE_MS (INLAY_LEASE_MS / 3u)
#define INLAY_HALF_FRAME_MS 15000u         /* a server that lets a client wait so long for the next bytes of a frame has lost its connection */
#define INLAY_SILENCE_MIN_MS 1000u         /* no server is given up sooner, however short --timeout is */
#define INLAY_RATE_MIN 4096u               /* bytes a second: who is slower for the lease time, in either direction, is cut off */
#define INLAY_CONN_QUEUE_MAX (8u * INLAY_FRAME_MAX) /* unsent reply bytes at which reading from the peer pauses */

#define INLAY_BUFFERS_SHORT (512u << 20)   /* bytes of a server's buffers in use, beyond which patience ends after */
#define INLAY_SHORT_PATIENCE_MS 2000u
#define INLAY_BUFFERS_MAX (2048u << 20)    /* beyond which who doesn't take its replies is cut off at once */

#define INLAY_LISTING_MAX (256u << 20)     /* bytes of the merged listings that a client keeps, and of one of `inlay ls` */
#define INLAY_CONTROL_REQUESTS_MAX 32u     /* requests at a time on the control socket of an attachment; others wait */
#define INLAY_CONTROL_TIMEOUT_MS 2000u     /* until the whole request has come */

_Static_assert(INLAY_HELLO_MAX > INLAY_FRAME_HEADER + INLAY_TEXT_MAX + 1024, "a HELLO fits");
_Static_assert(INLAY_BODY_MAX > INLAY_RULES_MAX + 4 * INLAY_TEXT_MAX, "HELLO's reply fits in a body");
_Static_assert(INLAY_BODY_MAX > 4 * INLAY_GROUPS_MAX + 2 * INLAY_NAME_MAX + INLAY_TARGET_MAX + 512, "any request fits");
_Static_assert(INLAY_UNSYNCED_SYNC < INLAY_UNSYNCED_FILE_MAX && INLAY_UNSYNCED_FILE_MAX < INLAY_UNSYNCED_MAX, "a sync begins before there is no room");
_Static_assert(INLAY_XATTR_VALUE_MAX <= INLAY_DATA_MAX, "a value fits in a payload");

#endif
