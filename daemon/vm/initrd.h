#include "common/err.h"
struct guest_conf { const char *id,*hostname,*root,*work,*modules,*addr,*gateway,*mac,*dns,*agent,*poweroff; long time; const char *host_key,*authorized_keys; };
int initrd_write(int out_fd, int init_fd, int modules_cpio_fd, const struct guest_conf *conf, struct bg_err **err);
