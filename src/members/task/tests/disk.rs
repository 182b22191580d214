//! A member whose disk fails: it says so, stops, and disturbs nobody.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_damaged_log_refuses_to_start_and_disturbs_nobody() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[2].crash().await;
    let file = cluster.members[2].dir.path().join(FILE);
    let bytes = std::fs::read(&file).unwrap();
    let live = cluster.live.clone();
    for damaged in [&bytes[..bytes.len() / 2], &[], b"rubbish"] {
        std::fs::write(&file, damaged).unwrap();
        let error = cluster.members[2].try_start(&live).await.unwrap_err();
        assert!(matches!(error, MemberStartError::Raft(RaftStartError::Store(StoreError::Damaged { .. }))), "{error}");
        assert!(error.to_string().contains("lvs-agent join SEED"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    let error = cluster.members[2].try_start(&live).await.unwrap_err();
    assert!(matches!(error, MemberStartError::Raft(RaftStartError::Store(StoreError::Missing { .. }))), "{error}");
    cluster.members[0].node().propose(apply(0, 1), PATIENCE).await.unwrap();

    // What it says to do works.
    std::fs::remove_dir_all(cluster.members[2].dir.path()).unwrap();
    cluster.is_silent(&cluster.members[2].name).await;
    cluster.join(&cluster.members[2]).await.unwrap();
    cluster.members[2].try_start(&live).await.unwrap();
    cluster.has_revision(1).await;
    cluster.votes(&[1, 2, 4]).await;
    cluster.stop().await;
}

/// A small file system of its own over a member's data directory.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None`: this test may not mount anything here.
    fn over(dir: &'a Path) -> Option<Self> {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", dir, "tmpfs", flags, Some(c"size=8m")).ok().map(|()| Self(dir))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Needs the right to mount; without it, the disk's own test with a simulated full disk has to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_full_disk_stops_and_goes_on_when_there_is_room() {
    let scratch = Scratch::new();
    let Some(_disk) = SmallDisk::over(scratch.path()) else { return };
    let mut cluster = Cluster::of(2).await;
    let mut member = Member { dir: scratch.nested(), ..Member::new("n3") };
    cluster.join(&member).await.unwrap();
    member.try_start(&cluster.live).await.unwrap();
    cluster.members.push(member);
    cluster.votes(&[1, 2, 3]).await;

    let filler = cluster.members[2].dir.path().join("filler");
    let _ = std::fs::write(&filler, vec![1; 16 << 20]);
    let long: Vec<_> = (0..3000_u32)
        .map(|n| crate::rules::VerdictChange {
            target: crate::rules::Target { service: "s".parse().unwrap(), server: format!("r{n}").parse().unwrap() },
            to: crate::rules::Verdict::Up,
            why: "x".repeat(100),
        })
        .collect();
    let fault = {
        let failed = cluster.members[2].node().failed();
        tokio::pin!(failed);
        loop {
            tokio::select! {
                fault = &mut failed => break fault,
                // The cluster decides all the while.
                done = cluster.members[0].node().propose(Command::Verdicts(long.clone()), PATIENCE) => { done.unwrap(); }
            }
        }
    };
    assert!(fault.to_string().contains("raft.redb (the disk is full"), "{fault}");
    cluster.members[2].crash().await;
    let live = cluster.live.clone();
    // As the guard does, again and again: it may not start, it must not lose anything.
    let _ = cluster.members[2].try_start(&live).await;
    if cluster.members[2].node.is_some() {
        cluster.members[2].crash().await;
    }
    cluster.members[0].node().propose(apply(0, 1), PATIENCE).await.unwrap();
    std::fs::remove_file(&filler).unwrap();
    cluster.members[2].try_start(&live).await.unwrap();
    cluster.has_revision(1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_ends_by_itself_is_a_fault_that_names_it_and_one_that_is_told_to_is_none() {
    let cluster = Cluster::of(2).await;
    let [hit, told] = [0, 1].map(|member| cluster.members[member].node().clone());
    hit.tasks().spawn::<()>("raft duties", &CancellationToken::new(), async { panic!("no such member") });
    let fault = timeout(PATIENCE, hit.failed()).await.unwrap();
    assert!(matches!(fault, RaftFault::Task(_)), "{fault:?}");
    assert_eq!(fault.to_string(), "the task `raft duties` ended by itself: it panicked: no such member");
    cluster.stop().await;
    assert_eq!(told.tasks().fault(), None);
}
