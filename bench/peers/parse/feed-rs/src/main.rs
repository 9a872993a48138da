//! feed_rs_bench REPS FILE|FOLDER…: the feed-rs crate over feeds in memory, one thread. Prints a JSON line: best of REPS, processor time.
use std::{env, fs, panic, path::Path};

#[repr(C)]
struct Timespec { seconds: i64, nanoseconds: i64 }
extern "C" { fn clock_gettime(clock: i32, time: *mut Timespec) -> i32; }

fn cpu() -> f64 {
    const PROCESS: i32 = 2; // CLOCK_PROCESS_CPUTIME_ID
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(PROCESS, &mut time) };
    time.seconds as f64 + time.nanoseconds as f64 / 1e9
}

fn collect(path: &Path, documents: &mut Vec<Vec<u8>>) {
    if path.is_dir() {
        let mut inside: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        inside.sort();
        inside.iter().for_each(|one| collect(one, documents));
    } else if matches!(path.extension().and_then(|e| e.to_str()), Some("xml" | "json")) {
        documents.push(fs::read(path).unwrap());
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let reps: usize = arguments[1].parse().unwrap();
    let mut documents = vec![];
    arguments[2..].iter().for_each(|name| collect(Path::new(name), &mut documents));
    let size: usize = documents.iter().map(Vec::len).sum();
    panic::set_hook(Box::new(|_| {}));
    let (mut best, mut parsed, mut entries) = (f64::MAX, 0, 0);
    for _ in 0..reps {
        let start = cpu();
        (parsed, entries) = (0, 0);
        for document in &documents {
            if let Ok(Ok(feed)) = panic::catch_unwind(|| feed_rs::parser::parse(&document[..])) {
                parsed += 1;
                entries += feed.entries.len();
            }
        }
        best = best.min(cpu() - start);
    }
    let mb = size as f64 / 1e6;
    println!("{{\"parser\":\"feed-rs\",\"files\":{},\"parsed\":{parsed},\"entries\":{entries},\"mb\":{mb:.2},\"s\":{best:.4},\"mb_s\":{:.1},\"entries_s\":{:.0}}}", documents.len(), mb / best, entries as f64 / best);
}
