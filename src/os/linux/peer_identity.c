/*
 * Whose connection it is. A Unix socket tells by itself (unix(7)). Of a TCP connection within this host the kernel knows
 * the other end as a socket of its own, and tells its owner by sock_diag(7); the groups are those of a process that
 * holds that socket.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/peer_identity.h"

#include "base/status.h"
#include "os/caller.h"
#include "os/identity.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOPBACK_DEVICE 1    /* its number in every network namespace */
#define LINKS_MAX 65536u     /* a user with very many open files can't keep us looking for long */
#define ACCOUNT_MAX 65536u   /* bytes of one user's entry */

/* ---- Unix sockets ---- */

static int unix_groups(int fd, struct inlay_cred *c)
{
	socklen_t len = sizeof(c->groups);
	gid_t *all;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) == 0) {
		c->ngroups = len / (uint32_t)sizeof(c->groups[0]);
		return 0;
	}
	if (errno != ERANGE)
		return errno == ENODATA ? 0 : inlay_status_from_errno(errno);
	all = malloc(len); /* more than a caller can have: those beyond don't count */
	if (!all)
		return -INLAY_ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &len) == 0) {
		memcpy(c->groups, all, sizeof(c->groups));
		c->ngroups = INLAY_GROUPS_MAX;
	}
	free(all);
	return 0;
}

static int unix_peer(int fd, struct inlay_cred *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return inlay_status_from_errno(errno);
	if (cred.uid == (uid_t)-1)
		return -INLAY_ENOTCONN;
	ret->uid = cred.uid;
	ret->gid = cred.gid;
	r = unix_groups(fd, ret);
	return r < 0 ? r : 1;
}

/* ---- TCP: the other end's socket ---- */

/* A connection as its other end has it. An IPv4 address is one, however its socket writes it. */
struct tuple {
	uint8_t family;
	struct inet_diag_sockid id; /* addresses and ports only */
};

static bool put_end(const struct sockaddr_storage *s, uint8_t *family, __be16 *port, __be32 addr[4])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)s;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)s;
	const struct in6_addr *a = &v6->sin6_addr;

	memset(addr, 0, 16);
	if (s->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(a)) {
		*family = AF_INET6;
		*port = v6->sin6_port;
		memcpy(addr, a, sizeof(*a));
		return true;
	}
	*family = AF_INET;
	*port = s->ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port;
	memcpy(addr, s->ss_family == AF_INET6 ? (const void *)&a->s6_addr[12] : (const void *)&v4->sin_addr, 4);
	return s->ss_family == AF_INET || s->ss_family == AF_INET6;
}

static bool is_loopback(const struct tuple *t, const __be32 addr[4])
{
	struct in6_addr v6;

	if (t->family == AF_INET)
		return ntohl(addr[0]) >> 24 == 127;
	memcpy(&v6, addr, sizeof(v6));
	return IN6_IS_ADDR_LOOPBACK(&v6);
}

/* 1, 0 when neither end is on a loopback address, or a status. */
static int tuple_of_peer(int fd, const struct sockaddr_storage *own, struct tuple *ret)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	uint8_t own_family;

	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return errno == ENOTCONN ? -INLAY_ENOTCONN : inlay_status_from_errno(errno);
	memset(ret, 0, sizeof(*ret));
	if (!put_end(own, &own_family, &ret->id.idiag_dport, ret->id.idiag_dst) ||
	    !put_end(&peer, &ret->family, &ret->id.idiag_sport, ret->id.idiag_src) || own_family != ret->family)
		return -INLAY_EIO;
	/* One loopback address is enough: from another one of this host's own, anyone here can connect to it. */
	return is_loopback(ret, ret->id.idiag_src) || is_loopback(ret, ret->id.idiag_dst);
}

static bool is_same(const struct tuple *t, const struct inet_diag_msg *m)
{
	struct sockaddr_storage s;
	struct tuple found = {0};
	const __be32 *ends[2] = {m->id.idiag_src, m->id.idiag_dst};
	const __be16 ports[2] = {m->id.idiag_sport, m->id.idiag_dport};

	for (int i = 0; i < 2; i++) {
		memset(&s, 0, sizeof(s));
		s.ss_family = m->idiag_family;
		if (m->idiag_family == AF_INET6) {
			((struct sockaddr_in6 *)&s)->sin6_port = ports[i];
			memcpy(&((struct sockaddr_in6 *)&s)->sin6_addr, ends[i], 16);
		} else {
			((struct sockaddr_in *)&s)->sin_port = ports[i];
			memcpy(&((struct sockaddr_in *)&s)->sin_addr, ends[i], 4);
		}
		if (!put_end(&s, &found.family, i ? &found.id.idiag_dport : &found.id.idiag_sport,
		             i ? found.id.idiag_dst : found.id.idiag_src) || found.family != t->family)
			return false;
	}
	return found.id.idiag_sport == t->id.idiag_sport && found.id.idiag_dport == t->id.idiag_dport &&
		memcmp(found.id.idiag_src, t->id.idiag_src, 16) == 0 && memcmp(found.id.idiag_dst, t->id.idiag_dst, 16) == 0;
}

/*
 * A socket that its process has closed, one that waits to be accepted and one in TIME_WAIT are all told as root's, with
 * no inode: only a live, established one says anything.
 */
static int check_answer(const struct tuple *t, const struct nlmsghdr *head, size_t len, struct inet_diag_msg *ret)
{
	const struct nlmsgerr *e = NLMSG_DATA(head);
	const struct inet_diag_msg *m = NLMSG_DATA(head);

	if (!NLMSG_OK(head, len))
		return -INLAY_EIO;
	if (head->nlmsg_type == NLMSG_ERROR && head->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)))
		return e->error == -ENOENT ? -INLAY_ENOTCONN : e->error < 0 ? inlay_status_from_errno(-e->error) : -INLAY_EIO;
	if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return -INLAY_EIO;
	if (m->idiag_state != TCP_ESTABLISHED || !m->idiag_inode || !is_same(t, m))
		return -INLAY_ENOTCONN;
	*ret = *m;
	return 0;
}

static int ask_kernel(int netlink, const struct tuple *t, struct inet_diag_msg *ret)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} q = {
		.head = {.nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1},
		.req = {.sdiag_family = t->family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u, .id = t->id},
	};
	union {
		struct nlmsghdr head;
		char bytes[8192];
	} a;
	struct sockaddr_nl from = {.nl_family = AF_NETLINK};
	socklen_t from_len = sizeof(from);
	ssize_t n;

	q.req.id.idiag_if = LOOPBACK_DEVICE;
	q.req.id.idiag_cookie[0] = q.req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (sendto(netlink, &q, sizeof(q), 0, (struct sockaddr *)&from, sizeof(from)) < 0)
		return inlay_status_from_errno(errno);
	/* The answer was made while we sent. */
	n = recvfrom(netlink, &a, sizeof(a), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
	if (n < 0)
		return errno == EAGAIN ? -INLAY_EIO : inlay_status_from_errno(errno);
	return from.nl_pid ? -INLAY_EIO : check_answer(t, &a.head, (size_t)n, ret);
}

/* While our end lives, no other connection has its addresses: what was found meanwhile is really the peer. */
static bool is_established(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_ESTABLISHED;
}

static int find_socket(int fd, const struct tuple *t, struct inet_diag_msg *ret)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), r;

	if (netlink < 0)
		return inlay_status_from_errno(errno);
	r = ask_kernel(netlink, t, ret);
	close(netlink);
	return r < 0 || is_established(fd) ? r : -INLAY_ENOTCONN;
}

/* ---- TCP: the groups of who holds it ---- */

/* Four numbers that must all be the same: real, effective, saved, file system. */
static bool status_number(const char *text, const char *key, uint32_t *ret)
{
	const char *line = strstr(text, key);
	unsigned n[4];

	if (!line || sscanf(line + strlen(key), "%u %u %u %u", n, n + 1, n + 2, n + 3) != 4)
		return false;
	*ret = n[0];
	return n[0] == n[1] && n[0] == n[2] && n[0] == n[3];
}

/*
 * True when the process is the user's, and acts by no right but his: one that somebody else runs, or whose program is
 * set-user-id or set-group-id, may have been handed the socket for the sake of its groups.
 */
static bool is_plain(int proc, const char *pid, uint32_t uid, uint32_t *ret_gid)
{
	char path[300], text[4096];
	uint32_t found;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/status", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return status_number(text, "\nUid:", &found) && found == uid && status_number(text, "\nGid:", ret_gid);
}

static bool holds(int proc, const char *pid, const char *socket_name, unsigned *links_left)
{
	char path[300], target[64];
	struct dirent *e;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && *links_left && (e = readdir(dir))) {
		ssize_t n = readlinkat(fd, e->d_name, target, sizeof(target) - 1);

		--*links_left;
		if (n > 0) {
			target[n] = '\0';
			found = strcmp(target, socket_name) == 0;
		}
	}
	closedir(dir);
	return found;
}

/* A process that may not be looked into is listed as root's. */
static bool may_be_of(int proc, const char *pid, uint32_t uid)
{
	struct stat st;

	return fstatat(proc, pid, &st, 0) == 0 && (st.st_uid == uid || st.st_uid == 0);
}

static bool groups_by_process(uint32_t inode, struct inlay_cred *c)
{
	unsigned links_left = LINKS_MAX;
	DIR *dir = opendir("/proc");
	bool found = false;
	char name[32];
	struct dirent *e;

	if (!dir)
		return false;
	snprintf(name, sizeof(name), "socket:[%u]", inode);
	while (!found && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]) || !may_be_of(dirfd(dir), e->d_name, c->uid))
			continue;
		found = is_plain(dirfd(dir), e->d_name, c->uid, &c->gid) && holds(dirfd(dir), e->d_name, name, &links_left);
		if (found)
			c->ngroups = inlay_caller_groups((uint32_t)strtoul(e->d_name, NULL, 10), c->groups, INLAY_GROUPS_MAX);
	}
	closedir(dir);
	return found;
}

static bool groups_by_account(struct inlay_cred *c)
{
	char *text = malloc(ACCOUNT_MAX);
	struct passwd pw, *found = NULL;
	int count = (int)INLAY_GROUPS_MAX;

	if (text && getpwuid_r(c->uid, &pw, text, ACCOUNT_MAX, &found) == 0 && found) {
		c->gid = pw.pw_gid;
		if (getgrouplist(pw.pw_name, pw.pw_gid, c->groups, &count) < 0)
			count = (int)INLAY_GROUPS_MAX; /* in more than a caller can have: those beyond don't count */
		c->ngroups = (uint32_t)count;
	}
	free(text);
	return found != NULL;
}

static int tcp_peer(int fd, const struct sockaddr_storage *own, struct inlay_cred *ret)
{
	struct inet_diag_msg m = {0};
	struct tuple t;
	int r = tuple_of_peer(fd, own, &t);

	if (r <= 0)
		return r;
	r = find_socket(fd, &t, &m);
	if (r < 0)
		return r;
	ret->uid = m.idiag_uid;
	if (ret->uid && !groups_by_process(m.idiag_inode, ret) && !groups_by_account(ret)) {
		ret->gid = INLAY_NOBODY;
		ret->ngroups = 0;
	}
	return 1;
}

/* ---- */

int inlay_peer_identity(int fd, struct inlay_cred *ret)
{
	struct inlay_cred found = {0};
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	int r = inlay_identity_enter(NULL); /* as a caller we would see that caller's processes only */

	if (r < 0)
		return r;
	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return inlay_status_from_errno(errno);
	if (own.ss_family == AF_UNIX)
		r = unix_peer(fd, &found);
	else if (own.ss_family == AF_INET || own.ss_family == AF_INET6)
		r = tcp_peer(fd, &own, &found);
	if (r == 1)
		*ret = found;
	return r;
}
