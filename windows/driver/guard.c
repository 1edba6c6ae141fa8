/*
 * MmProbeAndLockPages raises an exception when a page can't be had, for example one that a section has reserved and never
 * committed, and unhandled that is the end of the machine. gcc has no __try: so the call stands in a few lines of assembler with
 * the unwind data that Windows wants, whose one rule is "any exception in the call goes to 2:".
 * SPDX-License-Identifier: Apache-2.0
 */
#include "guard.h"

#if defined(_WIN32) && defined(__x86_64__)

/* rcx: the MDL. Keeps the stack aligned, with the callee's 32 bytes of home space. */
__asm__(".text\n"
	".globl inlay_guard_call\n"
	".def inlay_guard_call; .scl 2; .type 32; .endef\n"
	".seh_proc inlay_guard_call\n"
	"inlay_guard_call:\n"
	"	subq $40, %rsp\n"
	"	.seh_stackalloc 40\n"
	"	.seh_endprologue\n"
	"	xorl %edx, %edx\n"           /* KernelMode */
	"	movl $2, %r8d\n"             /* IoModifyAccess */
	"0:	call *__imp_MmProbeAndLockPages(%rip)\n"
	"	nop\n"                        /* so that the return address lies inside */
	"1:	xorl %eax, %eax\n"
	"	jmp 3f\n"
	"2:	movl $0xc00000e8, %eax\n"    /* STATUS_INVALID_USER_BUFFER */
	"3:	addq $40, %rsp\n"
	"	ret\n"
	"	.seh_handler __C_specific_handler, @except\n"
	"	.seh_handlerdata\n"
	"	.long 1\n"
	"	.rva 0b, 1b\n"              /* from, to */
	"	.long 1\n"                  /* handle whatever it is */
	"	.rva 2b\n"
	"	.text\n"
	".seh_endproc\n");
NTSTATUS inlay_guard_call(PMDL mdl);

NTSTATUS inlay_guard_lock_pages(PMDL mdl)
{
	return inlay_guard_call(mdl);
}

#else

/* Built natively, for tests: nothing raises. */
NTSTATUS inlay_guard_lock_pages(PMDL mdl)
{
	MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
	return STATUS_SUCCESS;
}

#endif
