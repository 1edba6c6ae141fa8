/*
 * LIST.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/filter.h"

void inlay_wf_listing_touch(struct inlay_winfilter *w, struct inlay_str path)
{
	(void)w, (void)path;
}

void inlay_wf_list(struct inlay_wf_request *rq)
{
	inlay_wf_answer_nt(rq, INLAY_NT_NOT_IMPLEMENTED);
}
