#include "common/err.h"
int identity_make_key(const char *comment, char **ret_private_pem, char **ret_public_line, struct bg_err **err);
