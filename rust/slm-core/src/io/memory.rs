//! How much memory there is: of the machine, or of the container that this process runs in.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The least memory that a limit may allow.
pub const MIN_LIMIT_BYTES: u64 = 64 << 20;

/// The most that is taken where nobody set a limit.
const MAX_DEFAULT_BYTES: u64 = 4 << 30;

/// A quarter of the machine's or the container's memory, at least 64 MiB and at most 4 GiB.
pub fn default_limit() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_meminfo(&text));
    let container =
        fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| of_cgroups(Path::new("/sys/fs/cgroup"), &text));
    let total = machine.into_iter().chain(container).min();
    total.map_or(MAX_DEFAULT_BYTES, |total| (total / 4).clamp(MIN_LIMIT_BYTES, MAX_DEFAULT_BYTES))
}

/// The most memory of its own that this process was seen to have.
#[derive(Debug, Default)]
pub struct PeakMemory(AtomicU64);

impl PeakMemory {
    /// Looks at what the process has, in bytes; 0 where the system does not say.
    pub fn look(&self) -> u64 {
        let anonymous =
            fs::read_to_string("/proc/self/status").ok().and_then(|text| anonymous_bytes(&text)).unwrap_or(0);
        self.0.fetch_max(anonymous, Ordering::Relaxed);
        anonymous
    }

    /// The most that any look has seen.
    pub fn bytes(&self) -> u64 {
        self.look();
        self.0.load(Ordering::Relaxed)
    }
}

/// Memory that no file stands behind, from the text of `/proc/self/status`.
fn anonymous_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kibibytes: u64| kibibytes << 10)
}

fn of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kibibytes: u64| kibibytes << 10)
}

/// The lowest limit of the control groups that this process is in and of those around them, for both versions of the system.
fn of_cgroups(root: &Path, memberships: &str) -> Option<u64> {
    // `0::/user.slice/session` in version 2, `9:memory:/docker/1f3c` in version 1.
    let limits = memberships.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let group = mount.join(group.trim_start_matches('/'));
        let around: Vec<_> =
            group.ancestors().take_while(|path| path.starts_with(&mount)).map(|path| path.join(file)).collect();
        around
    });
    limits.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/memory.max", "2000\n");
        write("a/b/memory.max", "max\n");
        write("memory/c/memory.limit_in_bytes", "3000\n");
        assert_eq!(of_cgroups(root.path(), "0::/a/b\n"), Some(2000));
        assert_eq!(of_cgroups(root.path(), "4:cpu:/c\n9:cpu,memory:/c\n"), Some(3000));
        assert_eq!(of_cgroups(root.path(), "0::/elsewhere\n"), None);
    }

    #[test]
    fn the_peak_is_the_most_that_was_seen() {
        assert_eq!(anonymous_bytes("VmHWM:\t  99 kB\nRssAnon:\t    12 kB\n"), Some(12 << 10));
        let peak = PeakMemory::default();
        let much = std::hint::black_box(vec![1_u8; 64 << 20]);
        let seen = peak.look();
        drop(much);
        assert!(peak.bytes() >= seen);
        assert!(seen == 0 || seen > 64 << 20);
    }

    #[test]
    fn the_default_is_within_its_bounds() {
        assert_eq!(of_meminfo("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert!((MIN_LIMIT_BYTES..=MAX_DEFAULT_BYTES).contains(&default_limit()));
    }
}
