/*
 * Parts of an attachment that are the same on every host.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/parts.h"

#include "base/log.h"
#include "base/status.h"
#include "os/cores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOPS_MOST 4u
#define SPARES 64u
#define SPIN_US 50u

int inlay_parts_crew(unsigned connections, struct inlay_crew **ret)
{
	unsigned cores = inlay_cores();
	struct inlay_crew_config config = {.loops = connections, .spares_max = SPARES, .spin_us = SPIN_US};

	if (config.loops == 0)
		config.loops = cores < LOOPS_MOST ? cores : LOOPS_MOST;
	if (config.loops > INLAY_LANES_MAX)
		config.loops = INLAY_LANES_MAX;
	return inlay_crew_new(&config, ret);
}

int inlay_parts_rules(const char *const *rules, struct inlay_judge **ret, char *why, size_t why_len)
{
	const char *problem;

	*ret = inlay_judge_new();
	if (!*ret)
		return -INLAY_ENOMEM;
	for (const char *const *rule = rules; rule && *rule; rule++) {
		int err = inlay_judge_add(*ret, *rule, &problem);

		if (err < 0) {
			snprintf(why, why_len, "bad rule: %s: %s", *rule, problem);
			return err;
		}
	}
	return 0;
}

void inlay_parts_server_rules(struct inlay_judge *judge, const struct inlay_client *client)
{
	char *rules = strdup(client->rules), *cursor = rules, *line;
	const char *problem;

	while ((line = strsep(&cursor, "\n")) != NULL)
		if (*line && inlay_judge_add(judge, line, &problem) < 0)
			inlay_warning("the server suggests a bad rule: %s: %s", line, problem);
	free(rules);
}

/* Healthy since the last of the lanes was; else not so since the first of those that are not was lost. */
static void health_since(struct inlay_attachment_status *s, const struct inlay_pictures *p)
{
	bool healthy = s->connected == p->lanes;

	for (unsigned i = 0; i < p->lanes; i++) {
		const struct inlay_lane_picture *lane = &p->lane[i].lane;
		uint64_t since_ms = (p->lane[i].now_ns - lane->since_ns) / 1000000u;

		if (healthy ? i == 0 || since_ms < s->health_since_ms :
			      lane->state != INLAY_LANE_OPEN && since_ms > s->health_since_ms)
			s->health_since_ms = since_ms;
	}
}

void inlay_parts_health(const struct inlay_pictures *p, struct inlay_attachment_status *s)
{
	unsigned dead = 0;

	for (unsigned i = 0; i < p->lanes; i++) {
		const struct inlay_lane_picture *lane = &p->lane[i].lane;

		s->connected += lane->state == INLAY_LANE_OPEN;
		dead += lane->state == INLAY_LANE_DEAD;
		s->outstanding += lane->outstanding;
		s->waiting += lane->waiting;
		s->reconnects += lane->reconnects;
	}
	s->connections = p->lanes;
	health_since(s, p);
	snprintf(s->health, sizeof s->health, "%s", dead ? "dead" : s->connected == p->lanes ? "healthy" : "reconnecting");
}

int inlay_parts_operations(const struct inlay_redirect *r, struct inlay_attachment_status *s)
{
	s->op = calloc(INLAY_MESSAGE_TOP, sizeof *s->op);
	if (!s->op)
		return -INLAY_ENOMEM;
	for (unsigned kind = 0; kind < INLAY_MESSAGE_TOP; kind++) {
		struct inlay_op_stat *op = &s->op[s->ops];

		for (unsigned i = 0; i < r->lanes; i++)
			inlay_stats_sum(&r->stats[i], kind, op->count, op->errors, op->bytes, op->latency);
		op->name = inlay_message_name(kind);
		if (op->name && op->count[INLAY_LOCAL] + op->count[INLAY_REMOTE])
			s->ops++;
		else
			memset(op, 0, sizeof *op);
	}
	return 0;
}
