// A program of layers.
int main(void) { return 0; }
