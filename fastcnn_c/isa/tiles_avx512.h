/* Register tiles X(mr, nv, nr) of the kernels with AVX-512, whatever their arithmetic. */

/* 32 registers: sums + nv of b + 1 of a. */
#define FC_TILES_OF_32(X) \
    X(1, 1, 16) X(2, 1, 16) X(3, 1, 16) X(4, 1, 16) X(5, 1, 16) X(6, 1, 16) X(7, 1, 16) \
    X(8, 1, 16) X(9, 1, 16) X(10, 1, 16) X(11, 1, 16) X(12, 1, 16) X(13, 1, 16) X(14, 1, 16) \
    X(1, 2, 32) X(2, 2, 32) X(3, 2, 32) X(4, 2, 32) X(5, 2, 32) X(6, 2, 32) X(7, 2, 32) \
    X(8, 2, 32) X(9, 2, 32) X(10, 2, 32) X(11, 2, 32) X(12, 2, 32) X(13, 2, 32) X(14, 2, 32) \
    X(1, 3, 48) X(2, 3, 48) X(3, 3, 48) X(4, 3, 48) X(5, 3, 48) X(6, 3, 48) X(7, 3, 48) \
    X(8, 3, 48) X(9, 3, 48) \
    X(1, 4, 64) X(2, 4, 64) X(3, 4, 64) X(4, 4, 64) X(5, 4, 64) X(6, 4, 64)
#define FC_MAX_MRS_OF_32 0, 14, 14, 9, 6

/* AMX: a tile register has 16 rows. */
#define FC_ROWS(X, nv, nr) X(1, nv, nr) X(2, nv, nr) X(3, nv, nr) X(4, nv, nr) X(5, nv, nr) X(6, nv, nr) X(7, nv, nr) X(8, nv, nr) \
    X(9, nv, nr) X(10, nv, nr) X(11, nv, nr) X(12, nv, nr) X(13, nv, nr) X(14, nv, nr) X(15, nv, nr) X(16, nv, nr)
#define FC_TILES_OF_AMX(X) FC_ROWS(X, 1, 16) FC_ROWS(X, 2, 32) FC_ROWS(X, 3, 48) FC_ROWS(X, 4, 64)
#define FC_MAX_MRS_OF_AMX 0, 16, 16, 16, 16
