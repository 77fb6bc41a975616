#include "daemon/vm/initrd.h"
int initrd_write(int out_fd, int init_fd, int modules_cpio_fd, const struct guest_conf *conf, struct bg_err **err){return 0;}
