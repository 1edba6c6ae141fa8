/*
 * Sockets on Windows: Winsock, always capable of overlapped calls. No Unix sockets.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/socket.h"

#include "base/status.h"
#include "net/host.h"
#include "os/windows/error.h"

#include <pthread.h>
#include <windows.h>

static struct {
	pthread_once_t once;
	int status;
} begun = {.once = PTHREAD_ONCE_INIT};

static void begin(void)
{
	WSADATA data;
	int error = WSAStartup(MAKEWORD(2, 2), &data);

	begun.status = error ? inlay_status_from_win32((unsigned long)error) : 0;
}

int inlay_host_begin(void)
{
	pthread_once(&begun.once, begin);
	return begun.status;
}

int inlay_host_status(void)
{
	return inlay_status_from_win32((unsigned long)WSAGetLastError());
}

int inlay_host_resolve_status(int code)
{
	return code == WSA_NOT_ENOUGH_MEMORY ? -INLAY_ENOMEM : -INLAY_EHOSTUNREACH;
}

int inlay_host_socket(int family)
{
	SOCKET s = WSASocketW(family, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	u_long on = 1;

	if (s == INVALID_SOCKET)
		return inlay_host_status();
	if (s > INT32_MAX || ioctlsocket(s, (long)FIONBIO, &on) != 0) {
		closesocket(s);
		return -INLAY_ENOTSUP;
	}
	return (int)s;
}

int inlay_host_connect(int fd, const struct sockaddr *s, socklen_t len)
{
	if (connect(inlay_host_handle(fd), s, len) == 0)
		return 0;
	return WSAGetLastError() == WSAEWOULDBLOCK ? 1 : inlay_host_status();
}

int inlay_host_unix_address(const struct inlay_addr *a, struct sockaddr_storage *ret)
{
	(void)a;
	(void)ret;
	return -INLAY_ENOTSUP;
}

size_t inlay_host_socket_prefix(const char *path)
{
	(void)path;
	return 0;
}

int64_t inlay_socket_send(int fd, const struct inlay_piece *pieces, unsigned count)
{
	WSABUF bufs[INLAY_SOCKET_PIECES];
	DWORD sent = 0;

	for (unsigned i = 0; i < count; i++)
		bufs[i] = (WSABUF){(ULONG)pieces[i].len, (char *)(uintptr_t)pieces[i].p};
	if (WSASend(inlay_host_handle(fd), bufs, count, &sent, 0, NULL, NULL) == 0)
		return (int64_t)sent;
	return WSAGetLastError() == WSAENOBUFS ? -INLAY_EAGAIN : inlay_host_status();
}

int64_t inlay_socket_receive(int fd, void *bytes, size_t len)
{
	int n = recv(inlay_host_handle(fd), bytes, len < INT32_MAX ? (int)len : INT32_MAX, 0);

	return n >= 0 ? n : inlay_host_status();
}

/* By select(): WSAPoll() told nothing of refused connections before Windows 10 2004. */
int inlay_socket_wait(int fd, bool out, unsigned ms)
{
	struct timeval time = {(long)(ms / 1000), (long)(ms % 1000 * 1000)};
	fd_set in_set, out_set, failed_set;

	if (fd < 0) {
		Sleep(ms);
		return 0;
	}
	FD_ZERO(&in_set);
	FD_SET(inlay_host_handle(fd), &in_set);
	out_set = failed_set = in_set;
	return select(0, &in_set, out ? &out_set : NULL, &failed_set, ms == UINT32_MAX ? NULL : &time) != 0;
}

int inlay_socket_status(int fd)
{
	int error = 0, len = sizeof(error);

	if (getsockopt(inlay_host_handle(fd), SOL_SOCKET, SO_ERROR, (char *)&error, &len) != 0)
		return inlay_host_status();
	return error ? inlay_status_from_win32((unsigned long)error) : 0;
}

uint64_t inlay_socket_unsent(int fd)
{
	(void)fd;
	return 0;
}

void inlay_socket_tune(int fd)
{
	int on = 1;

	setsockopt(inlay_host_handle(fd), IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof(on));
}

void inlay_socket_end(int fd)
{
	shutdown(inlay_host_handle(fd), SD_BOTH);
}

void inlay_socket_close(int fd)
{
	closesocket(inlay_host_handle(fd));
}
