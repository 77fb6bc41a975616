/* SPDX-License-Identifier: ISC */
/* See identity.h. */
#include "guest/identity.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/guest_conf.h"
#include "guest/text.h"

enum { FILE_MAX = 1024 * 1024 };

static int read_optional(const char *path, char **ret, struct bg_err **err)
{
	int r = bg_read_file_at(AT_FDCWD, path, FILE_MAX, ret, NULL);

	if (r < 0 && r != -ENOENT)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s", path);
	return 0;
}

int identity_read_keys(struct identity_keys *ret, struct bg_err **err)
{
	struct identity_keys k = {0};
	int r = read_optional(BG_GUEST_HOST_KEY, &k.host_key, err);

	if (r == 0)
		r = read_optional(BG_GUEST_AUTH_KEYS, &k.authorized, err);
	if (r < 0) {
		identity_free_keys(&k);
		return r;
	}
	*ret = k;
	return 0;
}

void identity_free_keys(struct identity_keys *keys)
{
	if (keys->host_key)
		explicit_bzero(keys->host_key, strlen(keys->host_key));
	free(keys->host_key);
	free(keys->authorized);
	*keys = (struct identity_keys){0};
}

int identity_hostname(const struct conf *conf)
{
	return sethostname(conf->hostname, strlen(conf->hostname)) < 0 ? -errno : 0;
}

static bool same_file(const char *path, const char *text, mode_t mode)
{
	_free_ char *have = NULL;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != mode)
		return false;
	return bg_read_file_at(AT_FDCWD, path, FILE_MAX, &have, NULL) == 0 && bg_streq(have, text);
}

/*
 * Straight into a fresh file: no rename and no fsync, since the next boot would write the
 * same text again. A link that lies there (resolv.conf of systemd-resolved) is replaced.
 */
static int put_file(const char *path, const char *text, mode_t mode)
{
	_close_ int fd = -1;

	if (same_file(path, text, mode))
		return 0;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return -errno;
	return bg_write_all(fd, text, strlen(text));
}

static int put_hostname(const struct conf *conf)
{
	char line[BG_NAME_MAX + 2];

	(void)snprintf(line, sizeof(line), "%s\n", conf->hostname);
	return put_file("/etc/hostname", line, 0644);
}

static int put_hosts(const struct conf *conf)
{
	_free_ char *old = NULL, *text = NULL;
	char addr[INET_ADDRSTRLEN];
	int r = bg_read_file_at(AT_FDCWD, "/etc/hosts", FILE_MAX, &old, NULL);

	if (r < 0 && r != -ENOENT)
		return r;
	(void)inet_ntop(AF_INET, &conf->addr, addr, sizeof(addr));
	text = text_hosts(old ? old : "", conf->hostname, conf->addr.s_addr ? addr : NULL);
	return text ? put_file("/etc/hosts", text, 0644) : -ENOMEM;
}

static int put_resolv(const struct conf *conf)
{
	char addr[INET_ADDRSTRLEN], line[64];

	if (!conf->dns.s_addr)
		return 0;
	(void)inet_ntop(AF_INET, &conf->dns, addr, sizeof(addr));
	(void)snprintf(line, sizeof(line), "nameserver %s\n", addr);
	return put_file("/etc/resolv.conf", line, 0644);
}

/*
 * The VM id is 128 random bits in hex, which is what a machine id is. One that is there
 * before systemd starts also keeps it from treating every start as the first one.
 */
static int put_machine_id(const struct conf *conf)
{
	char line[BG_ID_LEN + 2];

	(void)snprintf(line, sizeof(line), "%s\n", conf->id_text);
	return put_file("/etc/machine-id", line, 0444);
}

/* A public half that the image brought would not fit, and sshd complains: it goes. */
static int put_host_key(const char *pem)
{
	static const char path[] = "/etc/ssh/ssh_host_ed25519_key";
	int r = bg_mkdir_p("/etc/ssh", 0755);

	if (r < 0 || same_file(path, pem, 0600))
		return r;
	if (unlink("/etc/ssh/ssh_host_ed25519_key.pub") < 0 && errno != ENOENT)
		return -errno;
	return put_file(path, pem, 0600);
}

/* sshd refuses keys below a home that others may write to. */
static int private_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	if (st.st_mode & (S_IWGRP | S_IWOTH) && chmod(path, st.st_mode & 07755) < 0)
		return -errno;
	return 0;
}

static int put_authorized(const char *keys)
{
	static const char path[] = "/root/.ssh/authorized_keys";
	_free_ char *old = NULL, *text = NULL;
	int r = private_dir("/root", 0700);

	if (r == 0)
		r = private_dir("/root/.ssh", 0700);
	if (r < 0)
		return r;
	r = bg_read_file_at(AT_FDCWD, path, FILE_MAX, &old, NULL);
	if (r < 0 && r != -ENOENT)
		return r;
	text = text_keys(old ? old : "", keys);
	return text ? put_file(path, text, 0600) : -ENOMEM;
}

static void note(int r, const char *path, int *first, struct bg_err **err)
{
	if (r < 0 && *first == 0)
		*first = bg_err_sys(err, BG_ERR_IO, -r, "write %s", path);
}

int identity_write(const struct conf *conf, const struct identity_keys *keys, struct bg_err **err)
{
	int first = 0;

	note(bg_mkdir_p("/etc", 0755), "/etc", &first, err);
	note(put_hostname(conf), "/etc/hostname", &first, err);
	note(put_hosts(conf), "/etc/hosts", &first, err);
	note(put_resolv(conf), "/etc/resolv.conf", &first, err);
	note(put_machine_id(conf), "/etc/machine-id", &first, err);
	if (keys->host_key)
		note(put_host_key(keys->host_key), "/etc/ssh", &first, err);
	if (keys->authorized)
		note(put_authorized(keys->authorized), "/root/.ssh", &first, err);
	return first;
}

int identity_rename(const char *name, const char *address, struct bg_err **err)
{
	struct conf conf;
	int first = 0;

	if (!conf_names(&conf, name, address))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "\"%.80s\" is not a name", name);
	note(identity_hostname(&conf), "the host name", &first, err);
	note(put_hostname(&conf), "/etc/hostname", &first, err);
	note(put_hosts(&conf), "/etc/hosts", &first, err);
	return first;
}
