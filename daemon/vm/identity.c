#include "daemon/vm/identity.h"
int identity_make_key(const char *comment, char **a, char **b, struct bg_err **err){*a=strdup("x\n");*b=strdup("ssh-ed25519 AAAA");return 0;}
