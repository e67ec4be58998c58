/* Functions for a program that makes its permitted capabilities effective. */
#ifndef EXAMPLES_RAISE_RAISE_H_
#define EXAMPLES_RAISE_RAISE_H_

/* Makes the capability `number` (linux/capability.h) effective in this thread.
 * Returns 0, or -1 if the capability is not permitted. */
int raise_capability(int number);

/* Prints to stderr why the process does not have the capability `number`, called
 * `name` (upper case, without CAP_), and how to assign or grant it. */
void explain_missing(int number, const char *name);

#endif
