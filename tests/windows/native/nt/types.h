/*
 * Basic types of the kernel, with their Windows sizes (LONG is 4 bytes, WCHAR 2: compile with -fshort-wchar).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_NT_TYPES_H
#define INLAY_NATIVE_NT_TYPES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

_Static_assert(sizeof(wchar_t) == 2, "compile with -fshort-wchar");

#define NTAPI
#define NTKERNELAPI
#define NTSYSAPI
#define DECLSPEC_IMPORT
#define FASTCALL
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define VOID void
#define FORCEINLINE static inline
#define DECLSPEC_ALIGN(n) __attribute__((aligned(n)))
#define POINTER_ALIGNMENT DECLSPEC_ALIGN(8)
#define DECLSPEC_NORETURN __attribute__((noreturn))
#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define C_ASSERT(e) _Static_assert(e, #e)
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) ((type *)((char *)(address) - offsetof(type, field)))
#define RTL_NUMBER_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ARRAYSIZE(a) RTL_NUMBER_OF(a)
#define FlagOn(flags, bit) ((flags) & (bit))
#define BooleanFlagOn(flags, bit) ((BOOLEAN)(((flags) & (bit)) != 0))
#define SetFlag(flags, bit) ((flags) |= (bit))
#define ClearFlag(flags, bit) ((flags) &= ~(bit))
#define PAGE_SIZE 0x1000u
#define PAGE_SHIFT 12
#define ROUND_TO_PAGES(size) (((ULONG_PTR)(size) + PAGE_SIZE - 1) & ~(ULONG_PTR)(PAGE_SIZE - 1))
#define ALIGN_DOWN_BY(length, alignment) ((ULONG_PTR)(length) & ~((ULONG_PTR)(alignment) - 1))
#define ALIGN_UP_BY(length, alignment) (ALIGN_DOWN_BY((ULONG_PTR)(length) + (alignment) - 1, alignment))
#define MAXULONG 0xffffffffu
#define MAXUSHORT 0xffffu
#define MAXLONG 0x7fffffff
#define MAXLONGLONG 0x7fffffffffffffffLL
#define ANSI_NULL ((CHAR)0)
#define UNICODE_NULL ((WCHAR)0)
#ifndef min
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#endif
#define TRUE 1
#define FALSE 0

typedef void *PVOID, **PPVOID, *HANDLE, **PHANDLE;
typedef char CHAR, CCHAR, *PCHAR, *PSTR;
typedef const char *PCSTR, *PCSZ;
typedef unsigned char UCHAR, *PUCHAR, BYTE, BOOLEAN, *PBOOLEAN;
typedef int16_t SHORT, CSHORT, *PSHORT;
typedef uint16_t USHORT, *PUSHORT, WORD;
typedef int32_t LONG, *PLONG, INT, BOOL, NTSTATUS, *PNTSTATUS;
typedef uint32_t ULONG, *PULONG, ULONG32, UINT32, DWORD, ACCESS_MASK, *PACCESS_MASK, DEVICE_TYPE, SECURITY_INFORMATION, *PSECURITY_INFORMATION;
typedef int64_t LONGLONG, LONG64, INT64, *PLONGLONG;
typedef uint64_t ULONGLONG, ULONG64, UINT64, *PULONGLONG, QUAD;
typedef uint8_t UINT8;
typedef uint16_t UINT16;
typedef intptr_t LONG_PTR, INT_PTR, SSIZE_T;
typedef uintptr_t ULONG_PTR, UINT_PTR, *PULONG_PTR, SIZE_T, *PSIZE_T, KSPIN_LOCK, *PKSPIN_LOCK, KAFFINITY;
typedef wchar_t WCHAR, *PWCHAR, *PWCH, *PWSTR, *LPWSTR;
typedef const wchar_t *PCWSTR, *PCWCH, *LPCWSTR;
typedef const void *PCVOID;
typedef UCHAR KIRQL, *PKIRQL;
typedef CCHAR KPROCESSOR_MODE;
typedef LONG KPRIORITY;

typedef union _LARGE_INTEGER {
	struct {
		ULONG LowPart;
		LONG HighPart;
	};
	struct {
		ULONG LowPart;
		LONG HighPart;
	} u;
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
	struct {
		ULONG LowPart;
		ULONG HighPart;
	};
	ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

typedef struct _LIST_ENTRY {
	struct _LIST_ENTRY *Flink, *Blink;
} LIST_ENTRY, *PLIST_ENTRY;

typedef struct _SINGLE_LIST_ENTRY {
	struct _SINGLE_LIST_ENTRY *Next;
} SINGLE_LIST_ENTRY, *PSINGLE_LIST_ENTRY;

typedef struct _UNICODE_STRING {
	USHORT Length, MaximumLength;
	PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

typedef struct _STRING {
	USHORT Length, MaximumLength;
	PCHAR Buffer;
} STRING, ANSI_STRING, *PANSI_STRING;

typedef struct _GUID {
	ULONG Data1;
	USHORT Data2, Data3;
	UCHAR Data4[8];
} GUID, *LPGUID;
typedef const GUID *LPCGUID;

typedef struct _LUID {
	ULONG LowPart;
	LONG HighPart;
} LUID, *PLUID;

#define RTL_CONSTANT_STRING(s) { sizeof(s) - sizeof((s)[0]), sizeof(s), (s) }
#define DECLARE_CONST_UNICODE_STRING(name, text) \
	static const WCHAR name##_buffer[] = text; \
	static const UNICODE_STRING name = { sizeof(text) - sizeof(WCHAR), sizeof(text), (PWSTR)(ULONG_PTR)name##_buffer }

typedef struct _IO_STATUS_BLOCK {
	union {
		NTSTATUS Status;
		PVOID Pointer;
	};
	ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;

enum { PASSIVE_LEVEL = 0, APC_LEVEL = 1, DISPATCH_LEVEL = 2, HIGH_LEVEL = 15 };
typedef enum _MODE { KernelMode, UserMode, MaximumMode } MODE;

#endif
