/*
 * The list of filter directories, and what names lie in them.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "directories.h"

#include "memory.h"

#define ORPHANS_MAX 64

static LIST_ENTRY directories; /* orphans are at its end, the oldest last */
static ERESOURCE lock;
static LONG count;

static void lock_shared(void)
{
	KeEnterCriticalRegion();
	ExAcquireResourceSharedLite(&lock, TRUE);
}

static void lock_exclusive(void)
{
	KeEnterCriticalRegion();
	ExAcquireResourceExclusiveLite(&lock, TRUE);
}

static void unlock(void)
{
	ExReleaseResourceLite(&lock);
	KeLeaveCriticalRegion();
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_directories_init(void)
{
	InitializeListHead(&directories);
	count = 0;
	return ExInitializeResourceLite(&lock);
}

/* IRQL: APC_LEVEL */
void inlay_directory_ref(struct inlay_directory *directory)
{
	InterlockedIncrement(&directory->references);
}

/* IRQL: APC_LEVEL */
void inlay_directory_unref(struct inlay_directory *directory)
{
	if (InterlockedDecrement(&directory->references) != 0)
		return;
	inlay_queue_unref(directory->queue);
	inlay_free(directory);
}

/* IRQL: DISPATCH_LEVEL */
bool inlay_directory_live(struct inlay_directory *directory)
{
	return __atomic_load_n(&directory->live, __ATOMIC_ACQUIRE) && !inlay_queue_stopped(directory->queue);
}

/* Lock held exclusively. The list's reference goes. */
static void take_off(struct inlay_directory *d)
{
	RemoveEntryList(&d->link);
	InterlockedDecrement(&count);
	inlay_directory_unref(d);
}

/* Lock held exclusively. */
static void make_orphan(struct inlay_directory *d)
{
	LIST_ENTRY *after;
	ULONG orphans = 0;

	__atomic_store_n(&d->live, false, __ATOMIC_RELEASE);
	d->owner = NULL;
	inlay_queue_doom_directory(d->queue, d->number);
	for (LIST_ENTRY *l = directories.Flink; l != &directories; l = l->Flink)
		orphans += CONTAINING_RECORD(l, struct inlay_directory, link)->owner == NULL;
	RemoveEntryList(&d->link);
	if (orphans > ORPHANS_MAX)
		take_off(CONTAINING_RECORD(directories.Blink, struct inlay_directory, link));
	for (after = directories.Flink; after != &directories; after = after->Flink)
		if (!CONTAINING_RECORD(after, struct inlay_directory, link)->owner)
			break;
	InsertTailList(after, &d->link); /* in front of the older orphans */
}

/* IRQL: PASSIVE_LEVEL */
void inlay_directories_done(void)
{
	lock_exclusive();
	while (!IsListEmpty(&directories))
		take_off(CONTAINING_RECORD(directories.Flink, struct inlay_directory, link));
	unlock();
	ExDeleteResourceLite(&lock);
}

/* Whether name is `above` or lies beneath it. */
static bool lies_in(const UNICODE_STRING *name, const UNICODE_STRING *above)
{
	WCHAR next;

	if (!RtlPrefixUnicodeString(above, name, TRUE))
		return false;
	if (name->Length == above->Length)
		return true;
	next = name->Buffer[above->Length / sizeof(WCHAR)];
	return next == L'\\' || next == L':';
}

/* A final path: begins with a backslash, has no empty part, ends with no backslash, no stream, no NUL. */
static bool is_path(const UNICODE_STRING *path)
{
	USHORT units = path->Length / (USHORT)sizeof(WCHAR);

	if (units < 2 || path->Buffer[0] != L'\\' || path->Buffer[units - 1] == L'\\')
		return false;
	for (USHORT i = 0; i < units; i++) {
		WCHAR c = path->Buffer[i];

		if (c < L' ' || c == L':' || c == L'*' || c == L'?' || (c == L'\\' && path->Buffer[i + 1] == L'\\'))
			return false;
	}
	return true;
}

static struct inlay_directory *directory_new(const struct inlay_directory_setup *setup)
{
	USHORT length = setup->volume.Length + setup->path.Length;
	struct inlay_directory *d = inlay_alloc(sizeof(*d) + length);

	if (!d)
		return NULL;
	d->references = 1;
	d->owner = setup->owner;
	d->live = true;
	inlay_queue_ref(setup->queue);
	d->queue = setup->queue;
	d->number = setup->number;
	d->process = setup->process;
	d->volume_length = setup->volume.Length;
	d->path = (UNICODE_STRING){.Length = length, .MaximumLength = length, .Buffer = d->room};
	RtlCopyMemory(d->room, setup->volume.Buffer, setup->volume.Length);
	RtlCopyMemory((UCHAR *)d->room + setup->volume.Length, setup->path.Buffer, setup->path.Length);
	return d;
}

/* Lock held exclusively. Takes orphans off that the new one takes over. */
static NTSTATUS make_way(const struct inlay_directory *new)
{
	LIST_ENTRY *next;
	ULONG owned = 0;

	for (LIST_ENTRY *l = directories.Flink; l != &directories; l = l->Flink) {
		struct inlay_directory *d = CONTAINING_RECORD(l, struct inlay_directory, link);

		if (!d->owner)
			continue;
		if (lies_in(&d->path, &new->path) || lies_in(&new->path, &d->path) || (d->owner == new->owner && d->number == new->number))
			return STATUS_OBJECT_NAME_COLLISION;
		owned += d->owner == new->owner;
	}
	if (owned >= INLAY_CONTROL_DIRECTORIES_MAX)
		return STATUS_INSUFFICIENT_RESOURCES;
	for (LIST_ENTRY *l = directories.Flink; l != &directories; l = next) {
		struct inlay_directory *d = CONTAINING_RECORD(l, struct inlay_directory, link);

		next = l->Flink;
		if (!d->owner && lies_in(&d->path, &new->path))
			take_off(d);
	}
	return STATUS_SUCCESS;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_directories_add(const struct inlay_directory_setup *setup)
{
	struct inlay_directory *d;
	NTSTATUS status;

	if ((ULONG)setup->volume.Length + setup->path.Length > INLAY_CONTROL_PATH_MAX - sizeof(*d))
		return STATUS_NAME_TOO_LONG;
	if (!is_path(&setup->volume) || !is_path(&setup->path))
		return STATUS_OBJECT_NAME_INVALID;
	d = directory_new(setup);
	if (!d)
		return STATUS_INSUFFICIENT_RESOURCES;
	lock_exclusive();
	status = *setup->closed || inlay_queue_stopped(setup->queue) ? STATUS_DEVICE_NOT_CONNECTED : make_way(d);
	if (NT_SUCCESS(status)) {
		InsertHeadList(&directories, &d->link);
		InterlockedIncrement(&count);
	}
	unlock();
	if (!NT_SUCCESS(status))
		inlay_directory_unref(d);
	return status;
}

/* Lock held. */
static struct inlay_directory *find_number(const void *owner, ULONG number)
{
	for (LIST_ENTRY *l = directories.Flink; l != &directories; l = l->Flink) {
		struct inlay_directory *d = CONTAINING_RECORD(l, struct inlay_directory, link);

		if (d->owner == owner && d->number == number)
			return d;
	}
	return NULL;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_directories_remove(const void *owner, ULONG number)
{
	struct inlay_directory *d;

	lock_exclusive();
	d = find_number(owner, number);
	if (d)
		make_orphan(d);
	unlock();
	return d ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_directories_usage(const void *owner, ULONG number, struct inlay_control_usage *ret)
{
	struct inlay_directory *d;

	lock_shared();
	d = find_number(owner, number);
	if (d)
		*ret = (struct inlay_control_usage){
			.version = INLAY_CONTROL_VERSION,
			.open_files = (uint32_t)__atomic_load_n(&d->open_files, __ATOMIC_RELAXED),
			.outstanding = inlay_queue_outstanding(d->queue, number),
			.passed = (uint64_t)__atomic_load_n(&d->passed, __ATOMIC_RELAXED),
		};
	unlock();
	return d ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

/* IRQL: PASSIVE_LEVEL */
void inlay_directories_orphan(const void *owner, bool *closed)
{
	LIST_ENTRY *l;

	lock_exclusive();
	*closed = true;
	for (l = directories.Flink; l != &directories;) {
		struct inlay_directory *d = CONTAINING_RECORD(l, struct inlay_directory, link);

		if (d->owner != owner) {
			l = l->Flink;
			continue;
		}
		make_orphan(d);
		l = directories.Flink; /* it may have changed anywhere */
	}
	unlock();
}

static bool lies_on(struct inlay_directory *d, const UNICODE_STRING *volume)
{
	UNICODE_STRING own = {.Length = d->volume_length, .MaximumLength = d->volume_length, .Buffer = d->room};

	return RtlEqualUnicodeString(&own, volume, TRUE);
}

/* IRQL: PASSIVE_LEVEL */
bool inlay_directories_on(const UNICODE_STRING *volume)
{
	bool found = false;

	lock_shared();
	for (LIST_ENTRY *l = directories.Flink; l != &directories && !found; l = l->Flink)
		found = lies_on(CONTAINING_RECORD(l, struct inlay_directory, link), volume);
	unlock();
	return found;
}

/* IRQL: PASSIVE_LEVEL */
bool inlay_directories_volume(const UNICODE_STRING *volume, bool attached)
{
	bool found = false;

	lock_exclusive();
	for (LIST_ENTRY *l = directories.Flink; l != &directories; l = l->Flink) {
		struct inlay_directory *d = CONTAINING_RECORD(l, struct inlay_directory, link);

		if (!lies_on(d, volume))
			continue;
		found = true;
		if (!d->owner)
			continue;
		__atomic_store_n(&d->live, attached, __ATOMIC_RELEASE);
		if (!attached)
			inlay_queue_doom_directory(d->queue, d->number);
	}
	unlock();
	return found;
}

/* IRQL: any */
bool inlay_directories_any(void)
{
	return __atomic_load_n(&count, __ATOMIC_RELAXED) != 0;
}

static const WCHAR *last_of(const UNICODE_STRING *s, WCHAR c)
{
	for (USHORT i = s->Length / (USHORT)sizeof(WCHAR); i > 0; i--)
		if (s->Buffer[i - 1] == c)
			return &s->Buffer[i - 1];
	return NULL;
}

static bool equals(const UNICODE_STRING *s, const WCHAR *text, USHORT length)
{
	UNICODE_STRING t = {.Length = length, .MaximumLength = length, .Buffer = (WCHAR *)(uintptr_t)text};

	return RtlEqualUnicodeString(s, &t, TRUE);
}

/* "a\b:s:$DATA": cuts everything from the first colon of the last part. "::$DATA", "::$INDEX_ALLOCATION", ":$I30:..." name the file. */
static void split_stream(UNICODE_STRING *rest, UNICODE_STRING *stream)
{
	static const WCHAR data[] = L":$DATA", index[] = L":$INDEX_ALLOCATION", i30[] = L"$I30:$INDEX_ALLOCATION";
	const WCHAR *slash = last_of(rest, L'\\');
	USHORT at = slash ? (USHORT)(slash - rest->Buffer + 1) : 0, units = rest->Length / (USHORT)sizeof(WCHAR);

	*stream = (UNICODE_STRING){0};
	while (at < units && rest->Buffer[at] != L':')
		at++;
	if (at == units)
		return;
	rest->Length = at * (USHORT)sizeof(WCHAR);
	stream->Buffer = rest->Buffer + at + 1;
	stream->Length = stream->MaximumLength = (USHORT)((USHORT)(units - at - 1) * sizeof(WCHAR));
	if (!stream->Length || equals(stream, data, sizeof(data) - sizeof(WCHAR)) || equals(stream, index, sizeof(index) - sizeof(WCHAR)) ||
	    equals(stream, i30, sizeof(i30) - sizeof(WCHAR)))
		stream->Length = 0;
}

static void trim(UNICODE_STRING *s)
{
	while (s->Length && s->Buffer[0] == L'\\') {
		s->Buffer++;
		s->Length -= (USHORT)sizeof(WCHAR);
	}
	while (s->Length && s->Buffer[s->Length / sizeof(WCHAR) - 1] == L'\\')
		s->Length -= (USHORT)sizeof(WCHAR);
	s->MaximumLength = s->Length;
}

/* IRQL: PASSIVE_LEVEL */
struct inlay_directory *inlay_directories_find(const UNICODE_STRING *name, UNICODE_STRING *ret_rest, UNICODE_STRING *ret_stream)
{
	struct inlay_directory *found = NULL;

	lock_shared();
	for (LIST_ENTRY *l = directories.Flink; l != &directories && !found; l = l->Flink) {
		struct inlay_directory *d = CONTAINING_RECORD(l, struct inlay_directory, link);

		if (lies_in(name, &d->path))
			found = d;
	}
	if (found)
		inlay_directory_ref(found);
	unlock();
	if (!found)
		return NULL;
	ret_rest->Buffer = name->Buffer + found->path.Length / sizeof(WCHAR);
	ret_rest->Length = ret_rest->MaximumLength = name->Length - found->path.Length;
	trim(ret_rest);
	split_stream(ret_rest, ret_stream);
	return found;
}
