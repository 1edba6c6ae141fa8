/*
 * Drivers, the control device and its requests, strings.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "host.h"
#include "turns.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- strings ---- */

WCHAR RtlUpcaseUnicodeChar(WCHAR SourceCharacter)
{
	WCHAR c = SourceCharacter;

	if ((c >= 'a' && c <= 'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) ||
		(c >= 0x430 && c <= 0x44f))
		return (WCHAR)(c - 0x20);
	if (c >= 0x450 && c <= 0x45f)
		return (WCHAR)(c - 0x50);
	return c == 0xff ? 0x178 : c;
}

VOID RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
	size_t units = 0;

	while (SourceString && SourceString[units])
		units++;
	DestinationString->Length = (USHORT)(units * sizeof(WCHAR));
	DestinationString->MaximumLength = (USHORT)(SourceString ? (units + 1) * sizeof(WCHAR) : 0);
	DestinationString->Buffer = (PWSTR)(ULONG_PTR)SourceString;
}

LONG RtlCompareUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
	ULONG length = min(String1->Length, String2->Length) / sizeof(WCHAR);

	for (ULONG i = 0; i < length; i++) {
		WCHAR a = String1->Buffer[i], b = String2->Buffer[i];

		if (CaseInSensitive) {
			a = RtlUpcaseUnicodeChar(a);
			b = RtlUpcaseUnicodeChar(b);
		}
		if (a != b)
			return a - b;
	}
	return String1->Length - String2->Length;
}

BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
	return String1->Length == String2->Length && RtlCompareUnicodeString(String1, String2, CaseInSensitive) == 0;
}

BOOLEAN RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
	UNICODE_STRING head = *String2;

	if (String1->Length > String2->Length)
		return FALSE;
	head.Length = String1->Length;
	return RtlEqualUnicodeString(String1, &head, CaseInSensitive);
}

VOID RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString)
{
	USHORT length = min(DestinationString->MaximumLength, SourceString->Length);

	memcpy(DestinationString->Buffer, SourceString->Buffer, length);
	DestinationString->Length = length;
}

NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source)
{
	if ((ULONG)Destination->Length + Source->Length > Destination->MaximumLength)
		return STATUS_BUFFER_TOO_SMALL;
	memcpy((PCHAR)Destination->Buffer + Destination->Length, Source->Buffer, Source->Length);
	Destination->Length = (USHORT)(Destination->Length + Source->Length);
	return STATUS_SUCCESS;
}

/* ---- drivers ---- */

static PDRIVER_OBJECT loaded[4]; /* whose devices can be found */

NTSTATUS native_driver_load(PDRIVER_INITIALIZE entry, PDRIVER_OBJECT *ret_driver)
{
	PDRIVER_OBJECT driver = calloc(1, sizeof(*driver));
	static WCHAR path[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\inlay";
	UNICODE_STRING registry;
	NTSTATUS status;

	if (!driver)
		abort();
	driver->Type = 4;
	driver->Size = sizeof(*driver);
	RtlInitUnicodeString(&registry, path);
	for (size_t i = 0; i < RTL_NUMBER_OF(loaded); i++) {
		if (!loaded[i]) {
			loaded[i] = driver;
			break;
		}
	}
	status = entry(driver, &registry);
	if (NT_SUCCESS(status))
		*ret_driver = driver;
	else
		native_driver_free(driver);
	return status;
}

void native_driver_free(PDRIVER_OBJECT driver)
{
	if (driver->DeviceObject)
		sim_violate("a device is left over", NULL, 0);
	for (size_t i = 0; i < RTL_NUMBER_OF(loaded); i++)
		if (loaded[i] == driver)
			loaded[i] = NULL;
	free(driver);
}

/* ---- devices and links ---- */

struct link {
	LIST_ENTRY link;
	WCHAR name[64], target[64];
};

struct device {
	DEVICE_OBJECT device;
	WCHAR name[64];
	DECLSPEC_ALIGN(16) UCHAR extension[];
};

static LIST_ENTRY links = { &links, &links };

static void put(WCHAR *to, PUNICODE_STRING from)
{
	size_t units = min(from->Length / sizeof(WCHAR), 63u);

	memcpy(to, from->Buffer, units * sizeof(WCHAR));
	to[units] = 0;
}

static bool same(const WCHAR *a, const WCHAR *b)
{
	UNICODE_STRING first, second;

	RtlInitUnicodeString(&first, a);
	RtlInitUnicodeString(&second, b);
	return RtlEqualUnicodeString(&first, &second, TRUE);
}

static void device_last(void *object)
{
	sim_host_object_free(object);
}

NTSTATUS IoCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName, DEVICE_TYPE DeviceType,
	ULONG DeviceCharacteristics, BOOLEAN Exclusive, PDEVICE_OBJECT *DeviceObject)
{
	struct device *device;

	(void)Exclusive;
	device = sim_host_fails() ? NULL : sim_host_object_new(sizeof(*device) + DeviceExtensionSize, device_last);
	if (!device)
		return STATUS_INSUFFICIENT_RESOURCES;
	device->device.Type = 3;
	device->device.DriverObject = DriverObject;
	device->device.DeviceExtension = DeviceExtensionSize ? device->extension : NULL;
	device->device.DeviceType = DeviceType;
	device->device.Characteristics = DeviceCharacteristics;
	device->device.Flags = DO_DEVICE_INITIALIZING;
	device->device.StackSize = 1;
	device->device.NextDevice = DriverObject->DeviceObject;
	DriverObject->DeviceObject = &device->device;
	if (DeviceName)
		put(device->name, DeviceName);
	*DeviceObject = &device->device;
	return STATUS_SUCCESS;
}

VOID IoDeleteDevice(PDEVICE_OBJECT DeviceObject)
{
	PDEVICE_OBJECT *at = &DeviceObject->DriverObject->DeviceObject;

	while (*at && *at != DeviceObject)
		at = &(*at)->NextDevice;
	if (!*at) {
		sim_violate("a device is deleted that is none", NULL, 0);
		return;
	}
	*at = DeviceObject->NextDevice;
	sim_host_object_unref(DeviceObject);
}

NTSTATUS IoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName)
{
	struct link *link = sim_host_fails() ? NULL : calloc(1, sizeof(*link));

	if (!link)
		return STATUS_INSUFFICIENT_RESOURCES;
	put(link->name, SymbolicLinkName);
	put(link->target, DeviceName);
	InsertTailList(&links, &link->link);
	return STATUS_SUCCESS;
}

static struct link *link_find(const WCHAR *name)
{
	for (LIST_ENTRY *entry = links.Flink; entry != &links; entry = entry->Flink)
		if (same(CONTAINING_RECORD(entry, struct link, link)->name, name))
			return CONTAINING_RECORD(entry, struct link, link);
	return NULL;
}

NTSTATUS IoDeleteSymbolicLink(PUNICODE_STRING SymbolicLinkName)
{
	WCHAR name[64];
	struct link *link;

	put(name, SymbolicLinkName);
	link = link_find(name);
	if (!link)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	RemoveEntryList(&link->link);
	free(link);
	return STATUS_SUCCESS;
}

/* ---- requests to the control device ---- */

struct native_control {
	FILE_OBJECT object;
	PDEVICE_OBJECT device;
	uint32_t process;
};

struct request {
	IRP irp;
	IO_STACK_LOCATION stack;
	KEVENT over;
	bool completed;
};

VOID IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost)
{
	struct request *request = CONTAINING_RECORD(Irp, struct request, irp);

	(void)PriorityBoost;
	sim_level_check(DISPATCH_LEVEL, "IoCompleteRequest");
	if (__atomic_exchange_n(&request->completed, true, __ATOMIC_SEQ_CST)) {
		sim_violate("a request is completed twice", NULL, 0);
		return;
	}
	if (Irp->IoStatus.Status == STATUS_PENDING)
		sim_violate("a request is completed with STATUS_PENDING", NULL, 0);
	KeSetEvent(&request->over, 0, FALSE);
}

/* One request, waited for. */
static NTSTATUS call(struct native_control *control, UCHAR major, PVOID buffer, ULONG code, ULONG in_length, ULONG out_length,
	ULONG_PTR *ret_information)
{
	struct request *request = calloc(1, sizeof(*request));
	PDRIVER_DISPATCH dispatch = control->device->DriverObject->MajorFunction[major];
	uint32_t process = native_process_set(control->process);
	NTSTATUS answer, status;

	if (!request)
		abort();
	KeInitializeEvent(&request->over, NotificationEvent, FALSE);
	request->irp.Type = 6;
	request->irp.RequestorMode = UserMode;
	request->irp.AssociatedIrp.SystemBuffer = buffer;
	request->irp.Tail.Overlay.CurrentStackLocation = &request->stack;
	request->irp.Tail.Overlay.Thread = (PETHREAD)KeGetCurrentThread();
	request->irp.IoStatus.Status = STATUS_INTERNAL_ERROR;
	request->stack.MajorFunction = major;
	request->stack.DeviceObject = control->device;
	request->stack.FileObject = &control->object;
	request->stack.Parameters.DeviceIoControl.IoControlCode = code;
	request->stack.Parameters.DeviceIoControl.InputBufferLength = in_length;
	request->stack.Parameters.DeviceIoControl.OutputBufferLength = out_length;
	answer = dispatch ? dispatch(control->device, &request->irp) : STATUS_INVALID_DEVICE_REQUEST;
	if (!dispatch)
		goto out;
	if (KeGetCurrentIrql() != PASSIVE_LEVEL)
		sim_violate("a dispatch routine returned at another level", NULL, KeGetCurrentIrql());
	if (answer == STATUS_PENDING) {
		if (!(request->stack.Control & SL_PENDING_RETURNED))
			sim_violate("STATUS_PENDING without IoMarkIrpPending", NULL, major);
		sim_host_wait(&request->over);
	}
	status = request->irp.IoStatus.Status;
	if (!request->completed)
		sim_violate("a dispatch routine neither completed nor pended", NULL, major);
	else if (answer != STATUS_PENDING && answer != status)
		sim_violate("a dispatch routine answers another status than the request's", NULL, (ULONG)answer);
	answer = status;
	if (ret_information)
		*ret_information = request->irp.IoStatus.Information;
out:
	native_process_set(process);
	free(request);
	return answer;
}

static bool device_find(const WCHAR *target, PDEVICE_OBJECT *ret_device)
{
	for (size_t i = 0; i < RTL_NUMBER_OF(loaded); i++) {
		for (PDEVICE_OBJECT device = loaded[i] ? loaded[i]->DeviceObject : NULL; device; device = device->NextDevice) {
			if (same(((struct device *)device)->name, target)) {
				*ret_device = device;
				return true;
			}
		}
	}
	return false;
}

NTSTATUS native_control_open(const WCHAR *name, uint32_t process, struct native_control **ret_control)
{
	struct link *link = link_find(name);
	struct native_control *control;
	PDEVICE_OBJECT device;
	NTSTATUS status;

	if (!link || !device_find(link->target, &device))
		return STATUS_OBJECT_NAME_NOT_FOUND;
	if (device->Flags & DO_DEVICE_INITIALIZING)
		return STATUS_NO_SUCH_DEVICE;
	control = calloc(1, sizeof(*control));
	if (!control)
		abort();
	control->object.Type = 5;
	control->object.DeviceObject = device;
	control->device = device;
	control->process = process;
	sim_host_object_ref(device);
	status = call(control, IRP_MJ_CREATE, NULL, 0, 0, 0, NULL);
	if (!NT_SUCCESS(status)) {
		sim_host_object_unref(device);
		free(control);
		return status;
	}
	*ret_control = control;
	return status;
}

NTSTATUS native_control_call(struct native_control *control, ULONG code, const void *in, ULONG in_length, void *out, ULONG out_length,
	ULONG *ret_length)
{
	ULONG room = max(in_length, out_length);
	ULONG_PTR information = 0;
	PUCHAR buffer = malloc(room ? room : 1); /* exactly as long as said, so that the sanitizer sees one byte too many */
	NTSTATUS status;

	if (!buffer)
		abort();
	if (in_length)
		memcpy(buffer, in, in_length);
	status = call(control, IRP_MJ_DEVICE_CONTROL, buffer, code, in_length, out_length, &information);
	if (NT_ERROR(status))
		information = 0;
	if (information > out_length) {
		sim_violate("more bytes out than there is room for", NULL, information);
		information = out_length;
	}
	if (information)
		memcpy(out, buffer, information);
	if (ret_length)
		*ret_length = (ULONG)information;
	free(buffer);
	return status;
}

void native_control_close(struct native_control *control, bool cleanup)
{
	if (cleanup)
		call(control, IRP_MJ_CLEANUP, NULL, 0, 0, 0, NULL);
	call(control, IRP_MJ_CLOSE, NULL, 0, 0, 0, NULL);
	sim_host_object_unref(control->device);
	free(control);
}

/* ---- the rest ---- */

ULONG DbgPrint(PCSTR Format, ...)
{
	(void)Format;
	return 0;
}

DECLSPEC_NORETURN VOID native_assert_failed(const char *text, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
	abort();
}
