//! What the process takes of its machine, as Linux tells it. Elsewhere nothing is told.

use super::Exposition;
use std::fs;

/// Memory, processor time and open files, under the names that Prometheus' own libraries use behind our prefix.
pub(super) fn expose(text: &mut Exposition) {
    if let Some(memory) = Memory::now() {
        text.gauge("checkout_process_resident_memory_bytes", "Memory that the process has in use.");
        text.sample(&[], memory.resident);
        text.gauge("checkout_process_resident_memory_peak_bytes", "The most that it had in use so far.");
        text.sample(&[], memory.peak);
    }
    if let Some(hundredths) = cpu_hundredths() {
        text.counter("checkout_process_cpu_seconds_total", "Processor time that the process has used.");
        text.sample(&[], format_args!("{}.{:02}", hundredths / 100, hundredths % 100));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.gauge("checkout_process_open_fds", "Open files and connections.");
        // The folder that is being read is one of them.
        text.sample(&[], open.count().saturating_sub(1));
    }
    // Without a limit there is no number to tell.
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.gauge("checkout_process_max_fds", "The most files and connections that may be open.");
        text.sample(&[], limit);
    }
}

struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

/// Used so far, in user and system mode, in hundredths of a second.
fn cpu_hundredths() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let (user, system): (u64, u64) = (fields.nth(11)?.parse().ok()?, fields.next()?.parse().ok()?);
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Some((user + system).saturating_mul(100) / ticks)
}
