//! Children: their end, how it is noticed, and who reaps.

use std::process::{Child, Command, Stdio};

use ouroloop::process::{Pid, Reaped, reap, wait_without_reaping};

/// A child that ends when its standard input does.
fn shell(script: &str) -> (Child, Pid) {
    let child = Command::new("/bin/sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("every system has a shell");
    let pid = Pid::from_child(&child);
    (child, pid)
}

#[test]
fn a_status_is_read_once() {
    let (mut child, pid) = shell("read line; exit 7");
    assert_eq!(reap(pid), Reaped::Running);
    drop(child.stdin.take());
    wait_without_reaping(pid);
    assert_eq!(reap(pid), Reaped::Exited(7));
    assert_eq!(reap(pid), Reaped::Gone);
    wait_without_reaping(pid);
}

#[test]
fn a_signal_that_ends_a_child_is_told_from_a_status() {
    let (mut child, pid) = shell("read line");
    child.kill().expect("it runs");
    wait_without_reaping(pid);
    assert_eq!(reap(pid), Reaped::Killed(libc::SIGKILL));
}

#[test]
fn waiting_leaves_the_child_to_be_reaped() {
    let (mut child, pid) = shell("exit 3");
    wait_without_reaping(pid);
    wait_without_reaping(pid);
    assert_eq!(child.wait().expect("nobody has reaped it").code(), Some(3));
    assert_eq!(reap(pid), Reaped::Gone);
}

#[cfg(target_os = "linux")]
#[test]
fn a_childs_descriptor_is_readable_once_it_has_ended() {
    use ouroloop::process::Exit;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let (mut child, pid) = shell("read line; exit 9");
    let exit = Exit::of(pid).expect("a kernel of this decade");
    let readable = |timeout: Option<&Timespec>| {
        let mut watched = [PollFd::from_borrowed_fd(exit.fd(), PollFlags::IN)];
        poll(&mut watched, timeout).expect("one descriptor") == 1
    };
    assert!(!readable(Some(&Timespec::default())));
    assert_eq!(exit.reap(), Reaped::Running);
    drop(child.stdin.take());
    assert!(readable(None));
    assert_eq!(exit.reap(), Reaped::Exited(9));
    assert_eq!(exit.reap(), Reaped::Gone);
}
