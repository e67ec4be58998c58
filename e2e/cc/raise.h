#ifndef RAISE_H_
#define RAISE_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the permitted capabilities of this process effective. Returns 0, or -1 and sets errno. */
int raise_capabilities(void);

#ifdef __cplusplus
}
#endif

#endif
