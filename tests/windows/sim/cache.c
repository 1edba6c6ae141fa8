/*
 * The cache manager and mapped files: one set of pages per file, filled and written by paging I/O through the filters.
 * The file object that made the section does all of its paging I/O, and is kept by it after its handle has gone.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define RUN 16u /* pages in one paging request */

struct sim_section {
	struct sim_node *node; /* referenced */
	struct sim_open *open; /* its object is referenced */
	struct sim_pages pages;
	ULONG views, cached;   /* user views; opens with a private cache map */
	ULONG working;         /* threads in paging I/O or waiting for it */
	ULONGLONG extent;      /* bytes that user views reach */
	KEVENT idle;           /* set whenever a page stops being busy */
};

struct sim_view {
	struct sim_open *open; /* referenced */
	struct sim_section *section;
	ULONGLONG length;
	bool writable;
};

/* Under sim_big. */
static struct sim_section *section_get(struct sim_open *open)
{
	struct sim_node *node = open->node;
	struct sim_section *section = node->section;

	if (section)
		return section;
	section = sim_host_alloc(sizeof(*section));
	if (!section)
		return NULL;
	KeInitializeEvent(&section->idle, NotificationEvent, FALSE);
	section->node = node;
	section->open = open;
	sim_node_ref(node);
	sim_host_object_ref(open);
	node->section = section;
	node->pointers.DataSectionObject = section;
	InsertTailList(&node->volume->nodes, &node->section_link);
	return section;
}

static bool dirty(const struct sim_section *section)
{
	const struct sim_pages *pages = &section->pages;

	for (ULONG i = 0; i < pages->bucket_count; i++)
		for (const struct sim_page *page = pages->buckets[i]; page; page = page->next)
			if (page->dirty)
				return true;
	return false;
}

/* Under sim_big: takes an unused section off its node. Its file object must be released without the lock; NULL: it is used. */
static struct sim_open *section_detach(struct sim_section *section)
{
	struct sim_node *node = section->node;
	struct sim_open *open = section->open;

	if (section->views || section->cached || section->working || (dirty(section) && !node->unlinked && !node->volume->dismounted))
		return NULL;
	node->section = NULL;
	memset(&node->pointers, 0, sizeof(node->pointers));
	RemoveEntryList(&node->section_link);
	sim_pages_done(&section->pages);
	sim_host_free(section);
	sim_node_unref(node);
	return open;
}

void sim_cache_trim(struct sim_volume *volume)
{
	struct sim_open *open;

	do {
		open = NULL;
		sim_mutex_lock(&sim_big);
		SIM_EACH(entry, &volume->nodes) {
			open = section_detach(CONTAINING_RECORD(entry, struct sim_node, section_link)->section);
			if (open)
				break;
		}
		sim_mutex_unlock(&sim_big);
		if (open)
			sim_host_object_unref(open);
	} while (open);
}

/* Under sim_big, which it leaves while it waits. */
static void wait_idle(struct sim_section *section)
{
	KeClearEvent(&section->idle);
	sim_mutex_unlock(&sim_big);
	sim_host_wait(&section->idle);
	sim_mutex_lock(&sim_big);
}

/* ---- paging I/O; under sim_big, which they leave meanwhile ---- */

static NTSTATUS transfer(struct sim_section *section, bool write, ULONGLONG first, PUCHAR bytes, ULONG count, ULONG process)
{
	IO_STATUS_BLOCK result = { 0 };
	NTSTATUS status;

	sim_mutex_unlock(&sim_big);
	if (write)
		SIM_COUNT(paging_writes);
	else
		SIM_COUNT(paging_reads);
	status = sim_open_paging(section->open, write, first * SIM_PAGE, bytes, count * SIM_PAGE, process, &result);
	if (!write && status == STATUS_END_OF_FILE)
		status = STATUS_SUCCESS;
	if (!write && NT_SUCCESS(status)) /* the memory manager zeroes what did not come */
		memset(bytes + result.Information, 0, count * SIM_PAGE - result.Information);
	sim_mutex_lock(&sim_big);
	return status;
}

static ULONG missing_run(struct sim_section *section, ULONGLONG first, ULONGLONG last)
{
	ULONG count = 0;

	while (count < RUN && first + count <= last && !sim_pages_find(&section->pages, first + count))
		count++;
	return count;
}

static NTSTATUS fetch_run(struct sim_section *section, ULONGLONG first, ULONG count)
{
	PUCHAR bytes = sim_host_alloc(count * SIM_PAGE);
	NTSTATUS status = bytes ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
	ULONG made = 0;

	if (bytes)
		memset(bytes, 0xcc, count * SIM_PAGE);
	for (; NT_SUCCESS(status) && made < count; made++) {
		struct sim_page *page = sim_pages_get(&section->pages, first + made);

		if (!page)
			status = STATUS_INSUFFICIENT_RESOURCES;
		else
			page->busy = true;
	}
	if (NT_SUCCESS(status))
		status = transfer(section, false, first, bytes, count, sim_host_process());
	for (ULONG i = 0; i < made; i++) {
		struct sim_page *page = sim_pages_find(&section->pages, first + i);

		if (!page)
			continue; /* truncated meanwhile */
		page->busy = false;
		if (NT_SUCCESS(status))
			memcpy(page->bytes, bytes + i * SIM_PAGE, SIM_PAGE);
		else
			sim_pages_drop(&section->pages, first + i, first + i + 1);
	}
	KeSetEvent(&section->idle, 0, FALSE);
	sim_host_free(bytes);
	return status;
}

/* Makes the page be there and idle. */
static NTSTATUS need(struct sim_section *section, ULONGLONG number, ULONGLONG last, struct sim_page **ret_page)
{
	NTSTATUS status = STATUS_SUCCESS;

	while (NT_SUCCESS(status)) {
		struct sim_page *page = sim_pages_find(&section->pages, number);

		if (page && !page->busy) {
			*ret_page = page;
			return STATUS_SUCCESS;
		}
		section->working++;
		if (page)
			wait_idle(section);
		else
			status = fetch_run(section, number, missing_run(section, number, last));
		section->working--;
	}
	return status;
}

static ULONG dirty_run(struct sim_section *section, ULONGLONG first, ULONGLONG last)
{
	ULONG count = 0;
	struct sim_page *page;

	while (count < RUN && first + count <= last && (page = sim_pages_find(&section->pages, first + count)) != NULL &&
		page->dirty && !page->busy)
		count++;
	return count;
}

static NTSTATUS write_run(struct sim_section *section, ULONGLONG first, ULONG count)
{
	PUCHAR bytes = sim_host_alloc(count * SIM_PAGE);
	struct sim_page *page;
	NTSTATUS status;

	if (!bytes)
		return STATUS_INSUFFICIENT_RESOURCES;
	for (ULONG i = 0; i < count; i++) {
		page = sim_pages_find(&section->pages, first + i);
		page->busy = true;
		page->dirty = false;
		memcpy(bytes + i * SIM_PAGE, page->bytes, SIM_PAGE);
	}
	section->working++;
	status = transfer(section, true, first, bytes, count, SIM_SYSTEM_PROCESS);
	section->working--;
	for (ULONG i = 0; i < count; i++) {
		page = sim_pages_find(&section->pages, first + i);
		if (page) {
			page->busy = false;
			page->dirty = !NT_SUCCESS(status);
		}
	}
	KeSetEvent(&section->idle, 0, FALSE);
	sim_host_free(bytes);
	return status;
}

static struct sim_page *next_dirty(struct sim_section *section, ULONGLONG from, ULONGLONG last)
{
	struct sim_page *page = sim_pages_next(&section->pages, from);

	while (page && page->number <= last && !page->dirty && !page->busy)
		page = sim_pages_next(&section->pages, page->number + 1);
	return page && page->number <= last ? page : NULL;
}

static NTSTATUS flush_locked(struct sim_node *node, ULONGLONG first, ULONGLONG last)
{
	struct sim_section *section = node->section;
	NTSTATUS worst = STATUS_SUCCESS, status;
	struct sim_page *page;

	if (!section)
		return worst;
	section->working++;
	while ((page = next_dirty(section, first, last)) != NULL) {
		ULONGLONG number = page->number;
		ULONG count = dirty_run(section, number, last);

		if (!count) {
			wait_idle(section);
			continue;
		}
		status = write_run(section, number, count);
		if (!NT_SUCCESS(status))
			worst = status;
		first = number + count; /* a failed one stays dirty and is left behind */
	}
	section->working--;
	return worst;
}

static ULONGLONG last_page(ULONGLONG offset, ULONGLONG length)
{
	return length > ~0ull - offset ? ~0ull / SIM_PAGE : (offset + length - 1) / SIM_PAGE;
}

NTSTATUS sim_cache_flush(struct sim_node *node, ULONGLONG offset, ULONGLONG length)
{
	NTSTATUS status;

	if (!length)
		return STATUS_SUCCESS;
	sim_mutex_lock(&sim_big);
	status = flush_locked(node, offset / SIM_PAGE, last_page(offset, length));
	sim_mutex_unlock(&sim_big);
	return status;
}

bool sim_cache_purge(struct sim_node *node, ULONGLONG offset, ULONGLONG length)
{
	struct sim_section *section;
	struct sim_open *open = NULL;
	bool purged = true;

	sim_mutex_lock(&sim_big);
	section = node->section;
	if (section && (section->views || section->working)) {
		purged = false; /* as on Windows: what a program has mapped can't be thrown away */
	} else if (section && length) {
		sim_pages_drop(&section->pages, offset / SIM_PAGE, last_page(offset, length) + 1);
		if (!section->pages.count)
			open = section_detach(section);
	}
	sim_mutex_unlock(&sim_big);
	if (open)
		sim_host_object_unref(open);
	return purged;
}

bool sim_cache_may_truncate(struct sim_node *node, ULONGLONG size)
{
	struct sim_section *section = node->section;

	return !section || !section->views || size >= section->extent || size >= sim_node_size(node);
}

void sim_cache_truncate(struct sim_node *node, ULONGLONG size)
{
	struct sim_section *section = node->section;

	if (!section)
		return;
	sim_pages_drop(&section->pages, (size + SIM_PAGE - 1) / SIM_PAGE, ~0ull);
	if (size % SIM_PAGE)
		sim_pages_zero(&section->pages, size, SIM_PAGE - size % SIM_PAGE);
}

bool sim_cache_mapped(const struct sim_node *node)
{
	return node->section && node->section->views;
}

/* ---- copies; with the lock taken inside ---- */

/* Under sim_big. */
static NTSTATUS copy(struct sim_section *section, ULONGLONG offset, PUCHAR to, const UCHAR *from, ULONG length, ULONGLONG valid)
{
	ULONGLONG last = (offset + length - 1) / SIM_PAGE;
	struct sim_page *page;

	while (length) {
		ULONG within = (ULONG)(offset % SIM_PAGE), piece = SIM_PAGE - within < length ? SIM_PAGE - within : length;
		NTSTATUS status = STATUS_SUCCESS;

		page = sim_pages_find(&section->pages, offset / SIM_PAGE);
		if (!page && from && offset / SIM_PAGE * SIM_PAGE >= valid) /* nothing on the disk yet */
			page = sim_pages_get(&section->pages, offset / SIM_PAGE);
		if (!page || page->busy)
			status = need(section, offset / SIM_PAGE, last, &page);
		if (!NT_SUCCESS(status))
			return status;
		if (from) {
			memcpy(page->bytes + within, from, piece);
			page->dirty = true;
			from += piece;
		} else {
			memcpy(to, page->bytes + within, piece);
			to += piece;
		}
		offset += piece;
		length -= piece;
	}
	return STATUS_SUCCESS;
}

static struct sim_section *initialise(struct sim_open *open)
{
	struct sim_section *section = section_get(open);

	if (section && !open->object.PrivateCacheMap && !open->cleaned) {
		open->object.PrivateCacheMap = section;
		section->cached++;
		open->node->pointers.SharedCacheMap = section;
	}
	return section;
}

NTSTATUS sim_cache_read(struct sim_open *open, ULONGLONG offset, void *buffer, ULONG length, bool fault)
{
	struct sim_section *section;
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;

	sim_mutex_lock(&sim_big);
	section = fault ? open->node->section : initialise(open);
	if (section) {
		section->working++;
		status = copy(section, offset, buffer, NULL, length, 0);
		section->working--;
	}
	sim_mutex_unlock(&sim_big);
	return status;
}

NTSTATUS sim_cache_write(struct sim_open *open, ULONGLONG offset, const void *buffer, ULONG length, bool fault)
{
	struct sim_section *section;
	NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
	ULONGLONG valid;

	sim_mutex_lock(&sim_big);
	section = fault ? open->node->section : initialise(open);
	if (section) {
		valid = fault ? ~0ull : sim_node_size(open->node);
		section->working++;
		if (!fault && offset + length > valid)
			sim_node_set_size(open->node, offset + length);
		status = copy(section, offset, NULL, buffer, length, valid);
		section->working--;
	}
	sim_mutex_unlock(&sim_big);
	return status;
}

void sim_cache_uninitialise(struct sim_open *open)
{
	sim_mutex_lock(&sim_big);
	if (open->object.PrivateCacheMap) {
		open->object.PrivateCacheMap = NULL;
		open->node->section->cached--;
		if (!open->node->section->cached)
			open->node->pointers.SharedCacheMap = NULL;
	}
	sim_mutex_unlock(&sim_big);
}

void sim_lazy_write(struct sim_volume *volume)
{
	bool again = true;
	LIST_ENTRY *entry;
	struct sim_node *node;

	for (ULONG rounds = 0; again && rounds < 1000; rounds++) {
		again = false;
		sim_mutex_lock(&sim_big);
		for (entry = volume->nodes.Flink; entry != &volume->nodes && !again; entry = entry->Flink) {
			node = CONTAINING_RECORD(entry, struct sim_node, section_link);
			again = dirty(node->section) && !node->unlinked;
		}
		if (again)
			again = NT_SUCCESS(flush_locked(node, 0, ~0ull / SIM_PAGE));
		sim_mutex_unlock(&sim_big);
	}
	sim_cache_trim(volume);
}

/* ---- views ---- */

static NTSTATUS section_size(struct sim_open *open, bool writable, ULONGLONG *length)
{
	FILE_STANDARD_INFORMATION info;
	IO_STATUS_BLOCK result;
	LARGE_INTEGER end;
	NTSTATUS status = sim_open_query(open, NULL, FileStandardInformation, &info, sizeof(info), &result);
	ULONGLONG size;

	if (!NT_SUCCESS(status))
		return status;
	size = (ULONGLONG)info.EndOfFile.QuadPart;
	if (!*length)
		*length = size;
	if (!*length)
		return STATUS_MAPPED_FILE_SIZE_ZERO;
	if (*length <= size)
		return STATUS_SUCCESS;
	if (!writable)
		return STATUS_SECTION_TOO_BIG;
	end.QuadPart = (LONGLONG)*length;
	return sim_open_set(open, NULL, FileEndOfFileInformation, &end, sizeof(end), &result);
}

static NTSTATUS view_begin(struct sim_view *view, struct sim_open *open, bool writable, ULONGLONG *length)
{
	NTSTATUS status = section_size(open, writable, length);

	if (!NT_SUCCESS(status))
		return status;
	sim_mutex_lock(&sim_big);
	view->section = section_get(open);
	if (view->section) {
		view->section->views++;
		if (view->section->extent < *length)
			view->section->extent = *length;
	}
	sim_mutex_unlock(&sim_big);
	return view->section ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS sim_map(struct sim_file *file, bool writable, ULONGLONG length, struct sim_view **ret_view)
{
	struct sim_open *open = file->open;
	struct sim_view *view;
	NTSTATUS status;

	if (open->node->directory)
		return STATUS_INVALID_FILE_FOR_SECTION;
	if (!open->object.ReadAccess || (writable && !open->object.WriteAccess))
		return STATUS_ACCESS_DENIED;
	view = sim_host_alloc(sizeof(*view));
	if (!view)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = sim_open_fs_filter(open, IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION, true, writable ? PAGE_READWRITE : PAGE_READONLY);
	if (NT_SUCCESS(status)) {
		status = view_begin(view, open, writable, &length);
		sim_open_fs_filter(open, IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION, false, 0);
	}
	if (!NT_SUCCESS(status)) {
		sim_host_free(view);
		return status;
	}
	view->open = open;
	view->length = length;
	view->writable = writable;
	sim_host_object_ref(open);
	*ret_view = view;
	return STATUS_SUCCESS;
}

static bool inside(const struct sim_view *view, ULONGLONG offset, ULONG length)
{
	return offset <= view->length && length <= view->length - offset;
}

NTSTATUS sim_view_read(struct sim_view *view, ULONGLONG offset, void *buffer, ULONG length)
{
	if (!inside(view, offset, length))
		return STATUS_ACCESS_VIOLATION;
	return NT_SUCCESS(sim_cache_read(view->open, offset, buffer, length, true)) ? STATUS_SUCCESS : STATUS_IN_PAGE_ERROR;
}

NTSTATUS sim_view_write(struct sim_view *view, ULONGLONG offset, const void *buffer, ULONG length)
{
	if (!inside(view, offset, length) || !view->writable)
		return STATUS_ACCESS_VIOLATION;
	return NT_SUCCESS(sim_cache_write(view->open, offset, buffer, length, true)) ? STATUS_SUCCESS : STATUS_IN_PAGE_ERROR;
}

NTSTATUS sim_view_flush(struct sim_view *view)
{
	return sim_cache_flush(view->open->node, 0, view->length);
}

void sim_unmap(struct sim_view *view)
{
	sim_mutex_lock(&sim_big);
	if (!--view->section->views)
		view->section->extent = 0;
	sim_mutex_unlock(&sim_big);
	sim_host_object_unref(view->open);
	sim_host_free(view);
}

ULONGLONG sim_view_size(struct sim_view *view)
{
	return view->length;
}

/* ---- what filters call ---- */

VOID NTAPI CcFlushCache(PSECTION_OBJECT_POINTERS SectionObjectPointer, PLARGE_INTEGER FileOffset, ULONG Length, PIO_STATUS_BLOCK IoStatus)
{
	struct sim_node *node = CONTAINING_RECORD(SectionObjectPointer, struct sim_node, pointers);
	ULONGLONG offset = FileOffset ? (ULONGLONG)FileOffset->QuadPart : 0;
	NTSTATUS status;

	sim_level_at_most(APC_LEVEL, "CcFlushCache");
	if (sim_in_paging())
		sim_violate("CcFlushCache inside paging I/O", NULL, 0);
	status = sim_cache_flush(node, offset, FileOffset && Length ? Length : ~0ull - offset);
	if (IoStatus) {
		IoStatus->Status = status;
		IoStatus->Information = 0;
	}
}

BOOLEAN NTAPI CcPurgeCacheSection(PSECTION_OBJECT_POINTERS SectionObjectPointer, PLARGE_INTEGER FileOffset, ULONG Length, ULONG Flags)
{
	struct sim_node *node = CONTAINING_RECORD(SectionObjectPointer, struct sim_node, pointers);
	ULONGLONG offset = FileOffset ? (ULONGLONG)FileOffset->QuadPart : 0;

	(void)Flags;
	sim_level_at_most(APC_LEVEL, "CcPurgeCacheSection");
	if (sim_in_paging())
		sim_violate("CcPurgeCacheSection inside paging I/O", NULL, 0);
	return sim_cache_purge(node, offset, FileOffset && Length ? Length : ~0ull - offset);
}

BOOLEAN NTAPI MmCanFileBeTruncated(PSECTION_OBJECT_POINTERS SectionObjectPointer, PLARGE_INTEGER NewFileSize)
{
	struct sim_node *node = CONTAINING_RECORD(SectionObjectPointer, struct sim_node, pointers);
	bool fine;

	sim_mutex_lock(&sim_big);
	fine = !sim_cache_mapped(node) || (NewFileSize && sim_cache_may_truncate(node, (ULONGLONG)NewFileSize->QuadPart));
	sim_mutex_unlock(&sim_big);
	return fine;
}
