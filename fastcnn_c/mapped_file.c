/* Handles mapped files that are cut short while they are read: a SIGBUS handler replaces missing pages by zeros and notes that it did. */
#include "fastcnn.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Never freed, but used again: a signal handler may walk the list at any time. begin == 0: free. */
struct fc_mapped_file {
    atomic_uintptr_t begin, end;
    atomic_int cut;
    struct fc_mapped_file *next;
};

static _Atomic(fc_mapped_file *) files;
static struct sigaction before;       /* what SIGBUS did until somebody began to read */
static atomic_int readers, forwarding;
static uintptr_t page_bytes;

fc_mapped_file *fc_mapped_file_new(const void *begin, size_t bytes)
{
    fc_mapped_file *file = atomic_load(&files);
    while (file != NULL && atomic_load(&file->begin) != 0)
        file = file->next;
    if (file == NULL) {
        file = calloc(1, sizeof *file);
        if (file == NULL)
            return NULL;
        file->next = atomic_load(&files);
        atomic_store(&files, file);
    }
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    atomic_store(&file->cut, 0);
    atomic_store(&file->end, ((uintptr_t)begin + bytes + page_bytes - 1) & ~(page_bytes - 1));
    atomic_store(&file->begin, (uintptr_t)begin);
    return file;
}

void fc_mapped_file_free(fc_mapped_file *file)
{
    if (file != NULL)
        atomic_store(&file->begin, 0);
}

int fc_mapped_file_cut(const fc_mapped_file *file)
{
    return atomic_load(&file->cut);
}

/* Zeros from the page of this address to the end of the file it lies in; whether it lies in one. */
static int put_zeros(uintptr_t address)
{
    const uintptr_t page = address & ~(page_bytes - 1);
    for (fc_mapped_file *file = atomic_load(&files); file != NULL; file = file->next) {
        const uintptr_t begin = atomic_load(&file->begin), end = atomic_load(&file->end);
        if (begin == 0 || address < begin || address >= end)
            continue;
        atomic_store(&file->cut, 1);
        return mmap((void *)page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return 0;
}

/* As if this handler were not there. A handler from before may have been put in again by one that came later, and so be this one's own
 * successor: the second time around the process ends. */
static void forward(int number, siginfo_t *info, void *context)
{
    const int ended = !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_DFL;
    if (ended || atomic_exchange(&forwarding, 1)) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(number, info, context);
    else if (before.sa_handler != SIG_IGN)
        before.sa_handler(number);
    atomic_store(&forwarding, 0);
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    const int error = errno;
    if (info->si_code <= 0 || !put_zeros((uintptr_t)info->si_addr))      /* si_code <= 0: sent by a process */
        forward(number, info, context);
    errno = error;
}

void fc_begin_reading_files(void)
{
    if (atomic_fetch_add(&readers, 1) > 0)
        return;
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER}, found;
    ours.sa_sigaction = on_bus_error;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &found) != 0 || (found.sa_flags & SA_SIGINFO && found.sa_sigaction == on_bus_error))
        return;
    before = found;
    sigaction(SIGBUS, &ours, NULL);
}

void fc_end_reading_files(void)
{
    if (atomic_fetch_sub(&readers, 1) > 1)
        return;
    struct sigaction found;
    if (sigaction(SIGBUS, NULL, &found) == 0 && found.sa_flags & SA_SIGINFO && found.sa_sigaction == on_bus_error)
        sigaction(SIGBUS, &before, NULL);
}
