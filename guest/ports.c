/* SPDX-License-Identifier: ISC */
/* See ports.h; here also the applet, which finds the processes. proc(5) has the formats. */
#include "guest/ports.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "guest/applet.h"

enum { TABLE_MAX = 8 * 1024 * 1024, TCP_LISTEN = 0x0a, UDP_UNCONNECTED = 0x07 };

/* Words of 32 bits in the byte order of the machine, each in hex. */
static bool put_address(const char *hex, size_t len, char *out, size_t size)
{
	uint32_t words[4] = {0};

	if (len != 8 && len != 32)
		return false;
	for (size_t i = 0; i < len / 8; i++)
		if (sscanf(hex + 8 * i, "%8x", &words[i]) != 1)
			return false;
	return inet_ntop(len == 8 ? AF_INET : AF_INET6, words, out, (socklen_t)size) != NULL;
}

static bool parse_line(const char *proto, const char *line, struct port *p)
{
	unsigned wanted = strncmp(proto, "tcp", 3) == 0 ? TCP_LISTEN : UDP_UNCONNECTED, state;
	char address[33];

	*p = (struct port){.proto = proto};
	if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
		    address, &p->port, &state, &p->inode) != 4)
		return false;
	return state == wanted &&
	       put_address(address, strlen(address), p->address, sizeof(p->address));
}

size_t ports_parse(const char *proto, const char *text, struct port *list, size_t count)
{
	while (count < PORTS_MAX && (text = strchr(text, '\n'))) {
		text++;
		if (parse_line(proto, text, &list[count]))
			count++;
	}
	return count;
}

static void set_process(struct port *list, size_t count, unsigned long inode, int pid)
{
	_free_ char *comm = NULL;
	char path[32];

	for (size_t i = 0; i < count; i++) {
		if (list[i].inode != inode || list[i].pid)
			continue;
		list[i].pid = pid;
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (!comm && bg_read_file_at(AT_FDCWD, path, 64, &comm, NULL) < 0)
			return;
		(void)snprintf(
			list[i].name, sizeof(list[i].name), "%.*s", (int)strcspn(comm, "\n"), comm);
	}
}

static void look_into(struct port *list, size_t count, int pid)
{
	char path[32], link[64];
	struct dirent *e;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		unsigned long inode;

		link[n > 0 ? n : 0] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) == 1)
			set_process(list, count, inode, pid);
	}
	if (dir)
		(void)closedir(dir);
}

static void find_processes(struct port *list, size_t count)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (atoi(e->d_name) > 0)
			look_into(list, count, atoi(e->d_name));
	if (dir)
		(void)closedir(dir);
}

int applet_ports(void)
{
	static const char *const protos[] = {"tcp", "tcp6", "udp", "udp6"};
	static struct port list[PORTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(protos); i++) {
		_free_ char *text = NULL;
		char path[32];

		(void)snprintf(path, sizeof(path), "/proc/net/%s", protos[i]);
		if (bg_read_file_at(AT_FDCWD, path, TABLE_MAX, &text, NULL) >= 0)
			count = ports_parse(protos[i], text, list, count);
	}
	find_processes(list, count);
	for (size_t i = 0; i < count; i++)
		(void)dprintf(STDOUT_FILENO, "%s %s %u %d %s\n", list[i].proto, list[i].address,
			list[i].port, list[i].pid, list[i].name);
	return 0;
}
