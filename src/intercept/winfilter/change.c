/*
 * RENAME and REMOVE.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/filter.h"

void inlay_wf_rename_begin(struct inlay_wf_request *rq)
{
	inlay_wf_answer_nt(rq, INLAY_NT_NOT_IMPLEMENTED);
}

void inlay_wf_rename_end(struct inlay_wf_request *rq)
{
	inlay_wf_answer_nt(rq, INLAY_NT_NOT_IMPLEMENTED);
}

void inlay_wf_remove_begin(struct inlay_wf_request *rq)
{
	inlay_wf_answer_nt(rq, INLAY_NT_NOT_IMPLEMENTED);
}

void inlay_wf_remove_end(struct inlay_wf_request *rq)
{
	inlay_wf_answer_nt(rq, INLAY_NT_NOT_IMPLEMENTED);
}
