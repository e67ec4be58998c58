/* Permitted capabilities made effective, by the program itself. */
#ifndef EXAMPLES_RAISE_RAISE_H_
#define EXAMPLES_RAISE_RAISE_H_

/* Makes the capability `number` (linux/capability.h) effective in this thread
 * where it is permitted. Returns 0, or -1 where it is not permitted. */
int raise_capability(int number);

/* Says on stderr why the process does not have the capability `number`, called
 * `name` (upper case, without CAP_), and what would give it. */
void explain_missing(int number, const char *name);

#endif
