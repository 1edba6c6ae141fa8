/*
 * Handlers of extended attributes; ACLs are among them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

#include <string.h>

/* The name as a C string; no NUL is in it, the codec saw to that. */
static int name_of(struct inlay_str s, char ret[INLAY_XATTR_NAME_MAX + 1])
{
	if (!s.len || s.len > INLAY_XATTR_NAME_MAX)
		return -INLAY_ERANGE;
	memcpy(ret, s.p, s.len);
	ret[s.len] = '\0';
	return 0;
}

static uint32_t room_asked(uint32_t max)
{
	return max < INLAY_XATTR_VALUE_MAX ? max : INLAY_XATTR_VALUE_MAX;
}

int exec_getxattr(struct exec *x)
{
	char name[INLAY_XATTR_NAME_MAX + 1];
	struct inlay_getxattr_req m;
	struct inlay_store_node *n;
	uint8_t *room = NULL;
	uint32_t cap;
	int64_t len;
	int r = EXEC_DECODE(x, getxattr, &m);

	if (r < 0 || (r = name_of(m.name, name)) < 0)
		return r;
	if (!inlay_store_offers(x->ex->store, getxattr))
		return -INLAY_ENOTSUP;
	cap = room_asked(m.max);
	if (cap && !(room = exec_payload(x, cap)))
		return -INLAY_ENOMEM;
	r = node_get(x->ss, &m.node, &n);
	if (r < 0)
		return r;
	len = x->ops->getxattr(n, exec_cred(x, &m.cred), name, room, cap);
	node_put(n);
	if (len < 0)
		return (int)len;
	if (cap)
		exec_payload_set(x, room, (uint32_t)len);
	inlay_put_getxattr_rep(&x->out, &(struct inlay_getxattr_rep){(uint32_t)len, 0});
	return 0;
}

int exec_setxattr(struct exec *x)
{
	char name[INLAY_XATTR_NAME_MAX + 1];
	struct inlay_setxattr_req m;
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, setxattr, &m);

	if (r < 0 || (r = name_of(m.name, name)) < 0)
		return r;
	if (m.flags & ~7u)
		return -INLAY_EINVAL;
	if (x->rq->data_len > INLAY_XATTR_VALUE_MAX)
		return -INLAY_ETOOBIG;
	if (!inlay_store_offers(x->ex->store, setxattr))
		return -INLAY_ENOTSUP;
	r = node_get(x->ss, &m.node, &n);
	if (r < 0)
		return r;
	r = x->ops->setxattr(n, exec_cred(x, &m.cred), name, x->rq->data_len ? (const void *)x->rq->data : "",
		x->rq->data_len, m.flags);
	node_put(n);
	return r;
}

int exec_listxattr(struct exec *x)
{
	struct inlay_listxattr_req m;
	struct inlay_store_node *n;
	uint8_t *room = NULL;
	uint32_t cap;
	int64_t len;
	int r = EXEC_DECODE(x, listxattr, &m);

	if (r < 0)
		return r;
	if (!inlay_store_offers(x->ex->store, listxattr))
		return -INLAY_ENOTSUP;
	cap = room_asked(m.max);
	if (cap && !(room = exec_payload(x, cap)))
		return -INLAY_ENOMEM;
	r = node_get(x->ss, &m.node, &n);
	if (r < 0)
		return r;
	len = x->ops->listxattr(n, exec_cred(x, &m.cred), (char *)room, cap);
	node_put(n);
	if (len < 0)
		return (int)len;
	if (cap)
		exec_payload_set(x, room, (uint32_t)len);
	inlay_put_listxattr_rep(&x->out, &(struct inlay_listxattr_rep){(uint32_t)len, 0});
	return 0;
}

int exec_removexattr(struct exec *x)
{
	char name[INLAY_XATTR_NAME_MAX + 1];
	struct inlay_removexattr_req m;
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, removexattr, &m);

	if (r < 0 || (r = name_of(m.name, name)) < 0)
		return r;
	if (!inlay_store_offers(x->ex->store, removexattr))
		return -INLAY_ENOTSUP;
	r = node_get(x->ss, &m.node, &n);
	if (r < 0)
		return r;
	r = x->ops->removexattr(n, exec_cred(x, &m.cred), name);
	node_put(n);
	return r;
}
