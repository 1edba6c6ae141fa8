/*
 * The test's hand at the service manager and the simulated drive: simctl COMMAND...
 * SPDX-License-Identifier: Apache-2.0
 *
 *     install NAME PATH   a kernel service in the group that shares one driver host
 *     start NAME | stop NAME | remove NAME | state NAME
 *     health              counters, one a line, then violations; status 1 when there are any
 *     forget              lets the lazy writer run, forgets violations
 *     violate             reports a violation, for tests of tests
 *     remount             an empty volume instead; fails while files are open
 *     dismount            the volume goes, whatever is open; remount follows
 *     detach              as fltmc detach: fails when the filter refuses
 */
#include <stdio.h>
#include <string.h>
#include <windows.h>
#include <winternl.h>

#include "drive.h"

static int fail(const char *what)
{
	fprintf(stderr, "simctl: %s: error %lu\n", what, GetLastError());
	return 1;
}

static int service_install(SC_HANDLE manager, const char *name, const char *path)
{
	SC_HANDLE service = CreateServiceA(manager, name, name, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START,
		SERVICE_ERROR_NORMAL, path, "FSFilter Inlay Test", NULL, NULL, NULL, NULL);

	if (!service)
		return fail("install");
	CloseServiceHandle(service);
	return 0;
}

static int service_wait(SC_HANDLE service, DWORD wanted)
{
	SERVICE_STATUS status = { 0 };

	for (int i = 0; i < 2000; i++) {
		if (!QueryServiceStatus(service, &status))
			return fail("query");
		if (status.dwCurrentState == wanted)
			return 0;
		Sleep(25);
	}
	fprintf(stderr, "simctl: the service stays in state %lu\n", status.dwCurrentState);
	return 1;
}

static int service_act(SC_HANDLE manager, const char *verb, const char *name)
{
	SC_HANDLE service = OpenServiceA(manager, name, SERVICE_ALL_ACCESS);
	SERVICE_STATUS status;
	int result = 0;

	if (!service)
		return fail(name);
	if (!strcmp(verb, "start"))
		result = StartServiceA(service, 0, NULL) ? service_wait(service, SERVICE_RUNNING) : fail("start");
	else if (!strcmp(verb, "stop"))
		result = ControlService(service, SERVICE_CONTROL_STOP, &status) ? service_wait(service, SERVICE_STOPPED) : fail("stop");
	else if (!strcmp(verb, "remove"))
		result = DeleteService(service) ? 0 : fail("remove");
	else if (QueryServiceStatus(service, &status))
		printf("%s\n", status.dwCurrentState == SERVICE_RUNNING ? "running" : "stopped");
	CloseServiceHandle(service);
	return result;
}

static HANDLE drive_open(void)
{
	static WCHAR text[] = DRIVE_DEVICE;
	UNICODE_STRING name = { sizeof(text) - sizeof(WCHAR), sizeof(text), text };
	OBJECT_ATTRIBUTES attributes;
	IO_STATUS_BLOCK status;
	HANDLE handle;

	InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
	if (!NT_SUCCESS(NtOpenFile(&handle, FILE_READ_DATA | SYNCHRONIZE, &attributes, &status, FILE_SHARE_READ | FILE_SHARE_WRITE,
		    FILE_SYNCHRONOUS_IO_NONALERT)))
		return NULL;
	return handle;
}

static int health(HANDLE drive)
{
	static char room[32768];
	const struct drive_health *h = (const struct drive_health *)room;
	DWORD got = 0;

	if (!DeviceIoControl(drive, DRIVE_HEALTH, NULL, 0, room, sizeof(room) - 1, &got, NULL) || got < sizeof(*h))
		return fail("health");
	printf("violations %u\nfilters %u\nhandles %llu\ncallbacks %llu\npended %llu\ncontexts %llu\nnames %llu\nunder_way %llu\n",
		h->violations, h->filters, (unsigned long long)h->handles - 1, (unsigned long long)h->callbacks,
		(unsigned long long)h->pended, (unsigned long long)h->contexts, (unsigned long long)h->names,
		(unsigned long long)h->under_way);
	printf("reads %llu\nwrites %llu\npaging_reads %llu\npaging_writes %llu\npatched %llu\npool %llu\n", (unsigned long long)h->reads,
		(unsigned long long)h->writes, (unsigned long long)h->paging_reads, (unsigned long long)h->paging_writes,
		(unsigned long long)h->patched, (unsigned long long)h->pool);
	printf("%.*s", (int)(got - sizeof(*h)), room + sizeof(*h));
	return h->violations != 0;
}

static const struct {
	const char *verb;
	DWORD code; /* 0: shows */
} acts[] = {
	{ "health", 0 }, { "forget", DRIVE_FORGET }, { "remount", DRIVE_REMOUNT }, { "dismount", DRIVE_DISMOUNT }, { "detach", DRIVE_DETACH },
	{ "violate", DRIVE_VIOLATE },
};

/* -1: no such verb. */
static int drive_act(const char *verb)
{
	for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++) {
		HANDLE drive;
		DWORD got;

		if (strcmp(verb, acts[i].verb))
			continue;
		drive = drive_open();
		if (!drive) {
			fprintf(stderr, "simctl: the simulated drive is not there\n");
			return 2;
		}
		if (!acts[i].code)
			return health(drive);
		return DeviceIoControl(drive, acts[i].code, NULL, 0, NULL, 0, &got, NULL) ? 0 : fail(verb);
	}
	return -1;
}

int main(int count, char **words)
{
	SC_HANDLE manager;

	if (count == 2) {
		int result = drive_act(words[1]);

		if (result >= 0)
			return result;
	}
	if (count < 3) {
		fprintf(stderr, "usage: simctl install NAME PATH | start|stop|remove|state NAME | health | forget | remount | dismount | detach | violate\n");
		return 2;
	}
	manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_ALL_ACCESS);
	if (!manager)
		return fail("service manager");
	return count == 4 ? service_install(manager, words[2], words[3]) : service_act(manager, words[1], words[2]);
}
