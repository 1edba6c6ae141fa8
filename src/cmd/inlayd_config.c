/*
 * inlayd's options and configuration file.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/inlayd_config.h"

#include "base/status.h"
#include "cmd/whole.h"
#include "net/addr.h"

#include <confuse.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef INLAY_SYSCONFDIR
#define INLAY_SYSCONFDIR "/etc"
#endif
#define CONFIG_DEFAULT INLAY_SYSCONFDIR "/inlay/inlayd.conf"
#define THREADS_MAX 64

#define WRONG(...) (snprintf(why, INLAYD_WHY, __VA_ARGS__), -INLAY_EINVAL)

#define OPT(name_, letter_, kind_, value_, field, help_) \
	{.name = name_, .letter = letter_, .kind = INLAY_OPTION_##kind_, .value = value_, .help = help_, \
	 .at = offsetof(struct inlayd_options, field), .max = THREADS_MAX}

static const struct inlay_option table[] = {
	OPT("export", 'e', LIST, "NAME=DIR[,ro][,identity=client|USER]", exports, "serve DIR as NAME; may be given again"),
	OPT("listen", 'l', LIST, "ADDRESS", listens,
		"[HOST][:PORT] or unix:PATH; may be given again (127.0.0.1:4652 and [::1]:4652)"),
	OPT("insecure", 0, FLAG, NULL, insecure, "allow plain TCP beyond this host: no encryption, no authentication"),
	OPT("config", 'c', TEXT, "FILE", config, "read FILE (" CONFIG_DEFAULT " where it exists)"),
	OPT("check", 0, FLAG, NULL, check, "check options and configuration, say what is exported, and exit"),
	OPT("rules", 0, TEXT, "FILE", rules, "rules suggested to clients, for the exports given by --export"),
	OPT("threads", 0, NUMBER, "N", threads, "event loops, 0 for one per core (0)"),
	OPT("state-dir", 0, TEXT, "DIR", state_dir, "where the secret that signs file identities is kept"),
	OPT("log-format", 0, TEXT, "text|json", log_format, "log lines for people or for machines (text)"),
	OPT("log-level", 0, TEXT, "error|warning|info|debug", log_level, "how much is logged (info)"),
	{.name = "version", .kind = INLAY_OPTION_VERSION, .help = "print the version"},
	{.name = NULL},
};

const struct inlay_command inlayd_command = {
	.name = "inlayd",
	.operands = "",
	.summary = "serve directories to Inlay clients",
	.details = "SIGTERM and SIGINT let what is under way finish, a second one ends at once. SIGHUP reads the exports again.\n",
	.options = table,
};

/* ---- the file ---- */

static char *parse_error; /* of the file being read: libconfuse has no place for a user's pointer */

static void on_parse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[512];

	if (*parse_error)
		return; /* the first one is the cause */
	vsnprintf(text, sizeof(text), fmt, ap);
	snprintf(parse_error, INLAYD_WHY, "%.300s:%d: %s", cfg->filename ? cfg->filename : "configuration", cfg->line, text);
}

static cfg_opt_t export_opts[] = {
	CFG_STR("dir", NULL, CFGF_NODEFAULT),
	CFG_BOOL("readonly", cfg_false, CFGF_NONE),
	CFG_STR("identity", NULL, CFGF_NODEFAULT),
	CFG_STR_LIST("rules", NULL, CFGF_NODEFAULT),
	CFG_END(),
};

static cfg_opt_t file_opts[] = {
	CFG_STR_LIST("listen", NULL, CFGF_NODEFAULT),
	CFG_BOOL("insecure", cfg_false, CFGF_NONE),
	CFG_INT("threads", 0, CFGF_NONE),
	CFG_STR("state-dir", NULL, CFGF_NODEFAULT),
	CFG_STR("log-format", NULL, CFGF_NODEFAULT),
	CFG_STR("log-level", NULL, CFGF_NODEFAULT),
	CFG_SEC("export", export_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_END(),
};

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static struct inlayd_export *add_export(struct inlayd_config *c)
{
	struct inlayd_export *grown = realloc(c->exports, (c->nexports + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	c->exports = grown;
	memset(&grown[c->nexports], 0, sizeof(*grown));
	return &grown[c->nexports++];
}

static int add_listen(struct inlayd_config *c, const char *text)
{
	char **grown = realloc(c->listens, (c->nlistens + 1) * sizeof(*grown));

	if (!grown)
		return -INLAY_ENOMEM;
	c->listens = grown;
	grown[c->nlistens] = strdup(text);
	return grown[c->nlistens++] ? 0 : -INLAY_ENOMEM;
}

static int take_export(struct inlayd_config *c, cfg_t *sec, char why[INLAYD_WHY])
{
	struct inlayd_export *e = add_export(c);
	const char *what;

	if (!e)
		return WRONG("out of memory");
	e->name = copy(cfg_title(sec));
	e->dir = copy(cfg_getstr(sec, "dir"));
	e->identity = copy(cfg_getstr(sec, "identity"));
	e->readonly = cfg_getbool(sec, "readonly");
	if (!e->name || !e->dir)
		return WRONG("%.300s: export '%s': dir is missing", c->file, cfg_title(sec));
	for (unsigned i = 0; i < cfg_size(sec, "rules"); i++)
		if (inlay_rules_add(&e->rules, cfg_getnstr(sec, "rules", i), &what) < 0)
			return WRONG("%.300s: export '%s': rule '%.200s': %s", c->file, e->name, cfg_getnstr(sec, "rules", i), what);
	return 0;
}

static int take_file(struct inlayd_config *c, cfg_t *cfg, char why[INLAYD_WHY])
{
	long threads = cfg_getint(cfg, "threads");

	if (threads < 0 || threads > THREADS_MAX)
		return WRONG("%.300s: threads: not a number from 0 to %d", c->file, THREADS_MAX);
	c->threads = (unsigned)threads;
	c->insecure = cfg_getbool(cfg, "insecure");
	c->state_dir = copy(cfg_getstr(cfg, "state-dir"));
	c->log_format = copy(cfg_getstr(cfg, "log-format"));
	c->log_level = copy(cfg_getstr(cfg, "log-level"));
	for (unsigned i = 0; i < cfg_size(cfg, "listen"); i++)
		if (add_listen(c, cfg_getnstr(cfg, "listen", i)) < 0)
			return WRONG("out of memory");
	for (unsigned i = 0; i < cfg_size(cfg, "export"); i++) {
		int r = take_export(c, cfg_getnsec(cfg, "export", i), why);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Steps over a comment or a quoted text that begins at p; p itself when none does. */
static const char *skip_text(const char *p)
{
	const char *end;

	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	if (*p != '"' && *p != '\'')
		return p;
	for (end = p + 1; *end && *end != *p; end++)
		if (*end == '\\' && end[1])
			end++;
	return *end ? end + 1 : end;
}

/* libconfuse takes the end of a file for the end of every section: a file that was cut off would pass for whole. */
static bool ends_within_section(const char *text)
{
	int depth = 0;

	while (*text) {
		const char *next = skip_text(text);

		if (next != text) {
			text = next;
			continue;
		}
		depth += (*text == '{') - (*text == '}');
		text++;
	}
	return depth > 0;
}

static int check_whole(const char *path, char why[INLAYD_WHY])
{
	char *text;
	int r = inlay_whole_read(path, &text, NULL);

	if (r < 0)
		return WRONG("%.300s: cannot read the configuration: %s", path, inlay_status_text(r));
	if (ends_within_section(text))
		r = WRONG("%.300s: ends within a section: close it with \"}\", or restore what was cut off", path);
	free(text);
	return r;
}

static int read_file(struct inlayd_config *c, const char *asked, char why[INLAYD_WHY])
{
	const char *path = asked ? asked : CONFIG_DEFAULT;
	cfg_t *cfg;
	int r;

	if (access(path, R_OK) < 0) {
		if (!asked && errno == ENOENT)
			return 0;
		return WRONG("%.300s: cannot read the configuration: %s", path, strerror(errno));
	}
	r = check_whole(path, why);
	if (r < 0)
		return r;
	c->file = strdup(path);
	cfg = cfg_init(file_opts, CFGF_NONE);
	if (!cfg || !c->file)
		return WRONG("out of memory");
	*why = '\0';
	parse_error = why;
	cfg_set_error_function(cfg, on_parse_error);
	r = cfg_parse(cfg, path);
	if (r == CFG_SUCCESS)
		r = take_file(c, cfg, why);
	else
		r = *why ? -INLAY_EINVAL : WRONG("%.300s: cannot read the configuration", path);
	cfg_free(cfg);
	return r;
}

/* ---- options over the file ---- */

static void replace(char **at, const char *text)
{
	if (!text)
		return;
	free(*at);
	*at = strdup(text);
}

static int take_export_options(const struct inlayd_options *o, struct inlayd_config *c, char why[INLAYD_WHY])
{
	for (size_t i = 0; i < o->exports.count; i++) {
		struct inlayd_export *e = add_export(c);
		int r = e ? inlayd_export_parse(o->exports.item[i], e, why) : WRONG("out of memory");

		if (r < 0) {
			c->nexports -= e != NULL;
			return r;
		}
		if (o->rules && (r = inlay_rules_add_file(&e->rules, o->rules, why, INLAYD_WHY)) < 0)
			return r;
	}
	return 0;
}

static void clear_listens(struct inlayd_config *c)
{
	for (size_t i = 0; i < c->nlistens; i++)
		free(c->listens[i]);
	c->nlistens = 0;
}

static int take_options(const struct inlayd_options *o, struct inlayd_config *c, char why[INLAYD_WHY])
{
	replace(&c->state_dir, o->state_dir);
	replace(&c->log_format, o->log_format);
	replace(&c->log_level, o->log_level);
	c->insecure |= o->insecure;
	if (o->threads)
		c->threads = o->threads;
	if (o->listens.count)
		clear_listens(c);
	for (size_t i = 0; i < o->listens.count; i++)
		if (add_listen(c, o->listens.item[i]) < 0)
			return WRONG("out of memory");
	c->listens_default = !c->nlistens;
	if (c->listens_default && (add_listen(c, "127.0.0.1") < 0 || add_listen(c, "[::1]") < 0))
		return WRONG("out of memory");
	return take_export_options(o, c, why);
}

/* ---- checks ---- */

static bool one_of(const char *text, const char *const words[])
{
	for (; *words; words++)
		if (!text || strcmp(text, *words) == 0)
			return true;
	return false;
}

static int check_words(const struct inlayd_config *c, char why[INLAYD_WHY])
{
	const char *what;
	struct inlay_addr addr;

	if (!one_of(c->log_format, (const char *const[]){"text", "json", NULL}))
		return WRONG("log-format '%.100s': text or json", c->log_format);
	if (!one_of(c->log_level, (const char *const[]){"error", "warning", "info", "debug", NULL}))
		return WRONG("log-level '%.100s': error, warning, info or debug", c->log_level);
	for (size_t i = 0; i < c->nlistens; i++)
		if (inlay_addr_parse(c->listens[i], &addr, &what) < 0)
			return WRONG("listen '%.300s': %s", c->listens[i], what);
	return 0;
}

static int check_exports(struct inlayd_config *c, char why[INLAYD_WHY])
{
	if (!c->nexports)
		return WRONG("nothing to serve: give --export NAME=DIR, or an export in %s",
			c->file ? c->file : CONFIG_DEFAULT);
	for (size_t i = 0; i < c->nexports; i++) {
		int r = inlayd_export_check(&c->exports[i], why);

		if (r < 0)
			return r;
		for (size_t k = 0; k < i; k++)
			if (strcmp(c->exports[k].name, c->exports[i].name) == 0)
				return WRONG("export '%s': given twice: each export needs a name of its own", c->exports[i].name);
	}
	return 0;
}

int inlayd_config_load(const struct inlayd_options *o, struct inlayd_config *ret, char why[INLAYD_WHY])
{
	struct inlayd_config c = {0};
	int r = read_file(&c, o->config, why);

	if (r >= 0)
		r = take_options(o, &c, why);
	if (r >= 0)
		r = check_words(&c, why);
	if (r >= 0)
		r = check_exports(&c, why);
	if (r < 0) {
		/* It quotes what was read: one line, and nothing that a terminal would obey. */
		for (char *p = why; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				*p = '?';
		inlayd_config_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

void inlayd_config_done(struct inlayd_config *c)
{
	for (size_t i = 0; i < c->nexports; i++)
		inlayd_export_done(&c->exports[i]);
	free(c->exports);
	clear_listens(c);
	free(c->listens);
	free(c->state_dir);
	free(c->log_format);
	free(c->log_level);
	free(c->file);
	memset(c, 0, sizeof(*c));
}
