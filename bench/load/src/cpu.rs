//! Processor time and processor choice.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

/// The user and system time that all threads of process `pid` have used, ended ones included.
///
/// This is the process's CPU-time clock: nanoseconds, where `/proc/PID/stat` counts in ticks of 10 ms.
pub fn process_time(pid: i32) -> io::Result<Duration> {
    let mut clock = MaybeUninit::uninit();
    // SAFETY: the pointer is to a local that outlives the call, which only writes through it.
    let code = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `clock` was written, since the call that fills it answered 0; the second pointer is to
    // a local that outlives the call, which only writes through it.
    let code = unsafe { libc::clock_gettime(clock.assume_init(), time.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `clock_gettime` answered 0, so it has filled the whole structure.
    let time = unsafe { time.assume_init() };
    let seconds = u64::try_from(time.tv_sec).map_err(io::Error::other)?;
    let nanoseconds = u32::try_from(time.tv_nsec).map_err(io::Error::other)?;
    Ok(Duration::new(seconds, nanoseconds))
}

/// Keeps the calling thread on one processor, so that it never shares the server's.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such processor"));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_while_we_compute() {
        let pid = i32::try_from(std::process::id()).expect("a pid is an i32");
        let before = process_time(pid).expect("our own clock");
        let mut sum = 0_u64;
        while process_time(pid).expect("our own clock") == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }

    #[test]
    fn a_process_that_does_not_exist_has_no_clock() {
        let beyond_pid_max = 1 << 27;
        assert!(process_time(beyond_pid_max).is_err());
    }
}
