/* SPDX-License-Identifier: ISC */
/* See conf.h. One row per key; a row's setter owns the check of its value. */
#include "guest/conf.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "common/guest_conf.h"

static bool is_name(const char *v, size_t max, const char *more)
{
	size_t n = strlen(v);

	if (n == 0 || n > max)
		return false;
	for (; *v; v++)
		if (!isdigit((unsigned char)*v) && !(*v >= 'a' && *v <= 'z') && !strchr(more, *v))
			return false;
	return true;
}

static bool set_id(struct conf *c, const char *v)
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(v) != BG_ID_LEN || strspn(v, digits) != BG_ID_LEN)
		return false;
	memcpy(c->id_text, v, BG_ID_LEN + 1);
	for (size_t i = 0; i < sizeof(c->id); i++) {
		size_t hi = (size_t)(strchr(digits, v[2 * i]) - digits);
		size_t lo = (size_t)(strchr(digits, v[2 * i + 1]) - digits);

		c->id[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static bool set_hostname(struct conf *c, const char *v)
{
	if (!is_name(v, BG_NAME_MAX, "-") || *v == '-')
		return false;
	strcpy(c->hostname, v);
	return true;
}

static bool set_dev(char dst[CONF_DEV_MAX + 1], const char *v)
{
	if (!is_name(v, CONF_DEV_MAX, "-_"))
		return false;
	strcpy(dst, v);
	return true;
}

static bool set_root(struct conf *c, const char *v)
{
	return set_dev(c->root, v);
}

static bool set_base(struct conf *c, const char *v)
{
	return set_dev(c->base, v);
}

static bool set_own(struct conf *c, const char *v)
{
	return set_dev(c->own, v);
}

/* At most 12 digits: no number that long overflows. */
static bool is_number(const char *v)
{
	return *v && strlen(v) <= 12 && strspn(v, "0123456789") == strlen(v);
}

static bool set_store(struct conf *c, const char *v)
{
	c->store = is_number(v) ? strtoull(v, NULL, 10) : 0;
	return c->store > 0;
}

static bool set_chunk(struct conf *c, const char *v)
{
	c->chunk = bg_streq(v, "32") ? 32 : bg_streq(v, "8") ? 8 : 0;
	return c->chunk > 0;
}

static bool set_work(struct conf *c, const char *v)
{
	return set_dev(c->work, v);
}

static bool set_modules(struct conf *c, const char *v)
{
	return set_dev(c->modules, v);
}

static bool set_ip(struct in_addr *dst, const char *v)
{
	return inet_pton(AF_INET, v, dst) == 1 && dst->s_addr != INADDR_ANY;
}

static bool set_addr(struct conf *c, const char *v)
{
	return set_ip(&c->addr, v);
}

static bool set_gateway(struct conf *c, const char *v)
{
	return set_ip(&c->gateway, v);
}

static bool set_dns(struct conf *c, const char *v)
{
	return set_ip(&c->dns, v);
}

static bool set_agent(struct conf *c, const char *v)
{
	if (bg_streq(v, "virtio"))
		c->agent = CONF_AGENT_VIRTIO;
	else if (bg_streq(v, "vsock"))
		c->agent = CONF_AGENT_VSOCK;
	return c->agent != CONF_AGENT_NONE;
}

static bool set_poweroff(struct conf *c, const char *v)
{
	c->reset = bg_streq(v, "reset");
	return c->reset || bg_streq(v, "off");
}

static bool set_setup(struct conf *c, const char *v)
{
	if (bg_streq(v, "ssh"))
		c->setup = SETUP_SSH;
	else if (bg_streq(v, "init"))
		c->setup = SETUP_INIT;
	return c->setup != SETUP_NOTHING;
}

static bool set_time(struct conf *c, const char *v)
{
	if (!is_number(v))
		return false;
	c->time = strtoll(v, NULL, 10);
	return true;
}

static const struct key {
	const char *name;
	bool must;
	bool (*set)(struct conf *, const char *);
} keys[] = {
	{"id", true, set_id},
	{"hostname", true, set_hostname},
	{"root", false, set_root},
	{"base", false, set_base},
	{"own", false, set_own},
	{"store", false, set_store},
	{"chunk", false, set_chunk},
	{"work", false, set_work},
	{"modules", false, set_modules},
	{"addr", false, set_addr},
	{"gateway", false, set_gateway},
	{"dns", false, set_dns},
	{"agent", true, set_agent},
	{"poweroff", false, set_poweroff},
	{"setup", false, set_setup},
	{"time", false, set_time},
};

enum { LINE_MAX_BYTES = 256 };

static int parse_line(
	char *line, unsigned number, struct conf *c, unsigned *seen, struct bg_err **err)
{
	char *value = strchr(line, ' ');

	if (!value || value == line)
		return bg_err_set(
			err, BG_ERR_CONFIG, EINVAL, "vm.conf line %u: not \"key value\"", number);
	*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!bg_streq(line, keys[i].name))
			continue;
		if (*seen & 1u << i)
			return bg_err_set(err, BG_ERR_CONFIG, EINVAL,
				"vm.conf line %u: \"%s\" is there twice", number, line);
		*seen |= 1u << i;
		if (!keys[i].set(c, value))
			return bg_err_set(err, BG_ERR_CONFIG, EINVAL,
				"vm.conf line %u: \"%s\" cannot be \"%s\"", number, line, value);
	}
	return 0;
}

/* One disk, or two that are joined. */
static int check_root(const struct conf *c, struct bg_err **err)
{
	unsigned n = !bg_isempty(c->base) + !bg_isempty(c->own) + !!c->store + !!c->chunk;

	if (n != 0 && n != 4)
		return bg_err_set(err, BG_ERR_CONFIG, EINVAL,
			"vm.conf: \"base\", \"own\", \"store\" and \"chunk\" go together");
	if (n == 0 && bg_isempty(c->root))
		return bg_err_set(err, BG_ERR_CONFIG, EINVAL, "vm.conf: \"root\" is missing");
	if (n == 4 && !bg_isempty(c->root))
		return bg_err_set(err, BG_ERR_CONFIG, EINVAL, "vm.conf: \"root\" beside \"base\"");
	if (n == 4 && (c->store % c->chunk || bg_streq(c->base, c->own)))
		return bg_err_set(err, BG_ERR_CONFIG, EINVAL,
			"vm.conf: no store of %llu sectors in chunks of %u on \"%s\" over \"%s\"",
			(unsigned long long)c->store, c->chunk, c->own, c->base);
	return 0;
}

static int check_missing(const struct conf *c, unsigned seen, struct bg_err **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].must && !(seen & 1u << i))
			return bg_err_set(err, BG_ERR_CONFIG, EINVAL, "vm.conf: \"%s\" is missing",
				keys[i].name);
	if (c->gateway.s_addr && !c->addr.s_addr)
		return bg_err_set(err, BG_ERR_CONFIG, EINVAL, "vm.conf: gateway without addr");
	return check_root(c, err);
}

int conf_parse(const char *text, size_t len, struct conf *ret, struct bg_err **err)
{
	char line[LINE_MAX_BYTES];
	unsigned number = 0, seen = 0;
	struct conf c = {0};
	int r;

	if (len > BG_GUEST_CONF_MAX)
		return bg_err_set(err, BG_ERR_CONFIG, EFBIG, "vm.conf is too long");
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		number++;
		if (!end || n >= sizeof(line) || memchr(text, '\0', n))
			return bg_err_set(err, BG_ERR_CONFIG, EINVAL,
				"vm.conf line %u: too long, not ended or not text", number);
		memcpy(line, text, n);
		line[n] = '\0';
		r = parse_line(line, number, &c, &seen, err);
		if (r < 0)
			return r;
		text += n + 1;
		len -= n + 1;
	}
	r = check_missing(&c, seen, err);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

bool conf_names(struct conf *ret, const char *hostname, const char *addr)
{
	*ret = (struct conf){.hostname = ""};
	return set_hostname(ret, hostname) && (!addr || set_addr(ret, addr));
}
