//! The system calls that a media tool has no use for, refused by the kernel (seccomp). Changes its own process only.
//!
//! Landlock keeps a tool from files; how far it keeps it from networks and processes depends on the kernel: TCP from Linux 6.7
//! on, signals from 6.12 on, UDP and other sockets never. This is the same on every kernel, and also where there is no Landlock.
//! What is refused fails with EPERM: a demuxer that asks for it fails, and says so, like any other.

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition as Condition, SeccompFilter,
    SeccompRule as Rule, sock_filter,
};
use std::collections::BTreeMap;

/// Refused whatever the arguments. Not among them: what needs a capability and little else, for a tool has none.
const REFUSED: &[c_long] = &[
    // No socket of any family: what is open are a file and pipes.
    libc::SYS_socket,
    libc::SYS_socketpair,
    // The process group is what is killed at the end.
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // Other processes of the same user: the worker is one.
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    // What outlives a process, or is a program without being a file.
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_memfd_create,
    // Another view of the machine.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_personality,
    // Parts of the kernel through which others have become root.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// On `x86_64` each call has a second number from here on; none is used by a program that is not built for it.
const X32: u32 = 0x4000_0000;

/// Takes the calls away from this process, its threads to come and the program that it becomes.
pub(super) fn install() -> Result<(), String> {
    let programs = programs().map_err(|error| format!("failed to build the system-call filter: {error}"))?;
    for program in programs {
        seccompiler::apply_filter(&program).map_err(|error| format!("failed to install the system-call filter: {error}"))?;
    }
    Ok(())
}

/// The strictest answer of all programs counts.
fn programs() -> Result<[BpfProgram; 3], seccompiler::BackendError> {
    let refused = REFUSED.iter().map(|call| (*call, Vec::new())).chain(by_argument()?).collect();
    // The C library starts threads by this call, whose flags cannot be seen from here, and by `clone` where it is not there.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([program(refused, libc::EPERM)?, program(absent, libc::ENOSYS)?, other_numbers()])
}

/// Refused with some arguments.
fn by_argument() -> Result<[(c_long, Vec<Rule>); 4], seccompiler::BackendError> {
    let when = |argument, length, compare, value| Ok(vec![Rule::new(vec![Condition::new(argument, length, compare, value)?])?]);
    let (thread, own) = (libc::CLONE_THREAD as u64, u64::from(std::process::id()));
    Ok([
        // Threads, and no process: nothing can then leave the group, outlive the tool or be started by it.
        (libc::SYS_clone, when(0, Length::Qword, Compare::MaskedEq(thread), 0)?),
        // Signals to itself, as `abort` sends them.
        (libc::SYS_tgkill, when(0, Length::Dword, Compare::Ne, own)?),
        // Its own limits.
        (libc::SYS_prlimit64, when(0, Length::Dword, Compare::Ne, 0)?),
        // Its life stays tied to the worker's.
        (libc::SYS_prctl, when(0, Length::Dword, Compare::Eq, libc::PR_SET_PDEATHSIG as u64)?),
    ])
}

fn program(rules: BTreeMap<c_long, Vec<Rule>>, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch)?.try_into()
}

/// Refuses all calls by their second numbers: a list of numbers would be passed by them.
fn other_numbers() -> BpfProgram {
    let step = |code: u32, if_so: u8, k: u32| sock_filter { code: code as u16, jt: if_so, jf: 0, k };
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0), // the call's number is the first word
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ]
}
