/*
 * NT lists have no walk of their own; this is it. `next` is read before the body, so the entry may be removed in it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SIM_LIST_H
#define INLAY_SIM_LIST_H

#define SIM_EACH(entry, head) \
	for (PLIST_ENTRY entry = (head)->Flink, entry##_next = entry->Flink; entry != (head); \
		entry = entry##_next, entry##_next = entry->Flink)

#endif
