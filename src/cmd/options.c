/*
 * Command lines from tables. getopt_long() takes them apart; what it finds wrong is said in our own words, once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/options.h"

#include "base/status.h"
#include "cmd/say.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64
#define HELP_ID 1000  /* above every letter */
#define FIRST_ID 1001 /* + index in the table */

struct parser {
	const struct inlay_command *command;
	struct option longs[OPTIONS_MAX + 2];
	char shorts[2 * OPTIONS_MAX + 8];
};

static void parser_init(struct parser *p, const struct inlay_command *c)
{
	struct option *to = p->longs;
	char *s = p->shorts;

	p->command = c;
	*s++ = ':';
	*s++ = 'h';
	*to++ = (struct option){"help", no_argument, NULL, HELP_ID};
	for (int i = 0; c->options[i].name && i < OPTIONS_MAX; i++) {
		const struct inlay_option *o = &c->options[i];

		*to++ = (struct option){o->name, o->value ? required_argument : no_argument, NULL, FIRST_ID + i};
		if (o->letter) {
			*s++ = o->letter;
			if (o->value)
				*s++ = ':';
		}
	}
	*to = (struct option){NULL, 0, NULL, 0};
	*s = '\0';
}

static int wrong(const struct inlay_command *c, const char *what, const char *where)
{
	inlay_say("%s: %s: see \"%s --help\"", what, where, c->name);
	return INLAY_OPTIONS_WRONG;
}

static const struct inlay_option *find(const struct inlay_command *c, int id)
{
	if (id >= FIRST_ID)
		return &c->options[id - FIRST_ID];
	for (const struct inlay_option *o = c->options; o->name; o++) {
		if (o->letter == id)
			return o;
	}
	return NULL;
}

int inlay_number_parse(const char *text, unsigned min, unsigned max, unsigned *ret)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -INLAY_EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return -INLAY_EINVAL;
	*ret = (unsigned)value;
	return 0;
}

/* By hand: strtod obeys the locale, and takes "nan", "1e3" and "0x1p3". */
int inlay_seconds_parse(const char *text, unsigned min, unsigned max, unsigned *ret_ms)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long ms = 0, unit = 100;
	const char *p = text + digits;

	if (!digits || digits > 9)
		return -INLAY_EINVAL;
	ms = strtoull(text, NULL, 10) * 1000;
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			ms += unit * (unsigned)(*p - '0');
		if (p[-1] == '.')
			return -INLAY_EINVAL;
	}
	if (*p || ms < min * 1000ull || ms > max * 1000ull || ms > 0xffffffffull)
		return -INLAY_EINVAL;
	*ret_ms = (unsigned)ms;
	return 0;
}

static int list_add(struct inlay_option_list *l, const char *text)
{
	const char **grown = realloc(l->item, (l->count + 1) * sizeof(*grown));

	if (!grown)
		return -INLAY_ENOMEM;
	l->item = grown;
	l->item[l->count++] = text;
	return 0;
}

static int store(const struct inlay_command *c, const struct inlay_option *o, const char *value, void *into)
{
	void *at = (char *)into + o->at;
	char where[512], what[256];
	const char *why = NULL;
	int status = 0;

	switch (o->kind) {
	case INLAY_OPTION_FLAG:
		*(bool *)at = true;
		break;
	case INLAY_OPTION_TEXT:
		*(const char **)at = value;
		break;
	case INLAY_OPTION_NUMBER:
		status = inlay_number_parse(value, o->min, o->max, at);
		break;
	case INLAY_OPTION_SECONDS:
		status = inlay_seconds_parse(value, o->min, o->max, at);
		break;
	case INLAY_OPTION_LIST:
		status = list_add(at, value);
		break;
	case INLAY_OPTION_CALL:
		status = o->set(into, value, &why);
		break;
	case INLAY_OPTION_VERSION:
		break;
	}
	if (status == 0)
		return 0;
	if (!why && (o->kind == INLAY_OPTION_NUMBER || o->kind == INLAY_OPTION_SECONDS)) {
		snprintf(what, sizeof(what), "not a number%s from %u to %u",
			o->kind == INLAY_OPTION_SECONDS ? " of seconds" : "", o->min, o->max);
		why = what;
	}
	snprintf(where, sizeof(where), "--%s %s", o->name, value);
	return wrong(c, why ? why : inlay_status_text(status), where);
}

/* getopt_long found something wrong; argv[optind - 1] is where, optopt which. */
static int complain(const struct parser *p, int found, char **argv)
{
	const char *word = argv[optind - 1];
	const struct inlay_option *o = find(p->command, optopt);
	char where[256];

	if (optopt && !o && optopt < HELP_ID) {
		snprintf(where, sizeof(where), "-%c", optopt);
		return wrong(p->command, "unknown option", where);
	}
	if (found == ':')
		return wrong(p->command, "value missing", word);
	snprintf(where, sizeof(where), "%s", word);
	return wrong(p->command, optopt ? "takes no value" : "unknown or ambiguous option", where);
}

static int check_operands(const struct inlay_command *c, int argc, char **argv)
{
	unsigned count = (unsigned)(argc - optind);

	if (count < c->operands_min)
		return wrong(c, "operand missing", c->operands);
	if (count > c->operands_max)
		return wrong(c, "too many operands", argv[optind + (int)c->operands_max]);
	return optind;
}

int inlay_options_parse(const struct inlay_command *c, int argc, char **argv, void *into)
{
	struct parser p;
	int found;

	parser_init(&p, c);
	opterr = 0;
	optind = 0; /* glibc: starts anew, with permutation */
	while ((found = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
		const struct inlay_option *o;

		if (found == '?' || found == ':')
			return complain(&p, found, argv);
		if (found == 'h' || found == HELP_ID) {
			inlay_options_help(c, stdout);
			return INLAY_OPTIONS_DONE;
		}
		o = find(c, found);
		if (o->kind == INLAY_OPTION_VERSION) {
			printf("%s %s\n", c->name, INLAY_VERSION);
			return INLAY_OPTIONS_DONE;
		}
		if (store(c, o, optarg, into) < 0)
			return INLAY_OPTIONS_WRONG;
	}
	return check_operands(c, argc, argv);
}

static void option_text(const struct inlay_option *o, char *buf, size_t size)
{
	char letter[8] = "    ";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(buf, size, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
}

void inlay_options_help(const struct inlay_command *c, FILE *to)
{
	static const struct inlay_option help = {.name = "help", .letter = 'h', .help = "show this help"};
	char text[128];
	int width = 10;

	for (const struct inlay_option *o = c->options; o->name; o++) {
		option_text(o, text, sizeof(text));
		width = (int)strlen(text) > width ? (int)strlen(text) : width;
	}
	fprintf(to, "Usage: %s%s%s%s\n%s.\n\nOptions:\n", c->name, c->options->name ? " [OPTION]..." : "",
		*c->operands ? " " : "", c->operands, c->summary);
	for (const struct inlay_option *o = c->options; o->name; o++) {
		option_text(o, text, sizeof(text));
		fprintf(to, "  %-*s  %s\n", width, text, o->help);
	}
	option_text(&help, text, sizeof(text));
	fprintf(to, "  %-*s  %s\n", width, text, help.help);
	if (c->details)
		fprintf(to, "\n%s", c->details);
}
